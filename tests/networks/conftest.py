"""The bundle's networks by their overlays."""

from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


@pytest.fixture
def overlay() -> Callable[..., ConfigParser]:
    """Parse a network's overlay, laid over the configuration of a training."""

    def parse(name: str, num_classes: int = 16) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config([CONFIGS / "train.yaml", CONFIGS / "networks" / f"{name}.yaml"])
        parser["num_classes"] = num_classes
        return parser

    return parse
