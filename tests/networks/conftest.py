"""Networks whose BatchNorm statistics are not those of a fresh one, which would make every output near zero."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


@pytest.fixture
def randomise() -> Callable[..., nn.Module]:
    """Draw BatchNorm parameters and statistics at random, in place."""

    def draw(network: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.data.uniform_(0.8, 1.2, generator=generator)
                module.bias.data.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.Linear):  # heads that start at zero would hide everything before them
                module.weight.data.normal_(0, 0.05, generator=generator)
        return network.eval()

    return draw


@pytest.fixture
def overlay() -> Callable[..., ConfigParser]:
    """Parse a network's overlay, laid over the configuration of a training."""

    def parse(name: str, num_classes: int = 16) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config([CONFIGS / "train.yaml", CONFIGS / "networks" / f"{name}.yaml"])
        parser["num_classes"] = num_classes
        return parser

    return parse
