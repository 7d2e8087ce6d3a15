"""A model folder without a training: a small network whose random weights still tell images apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from monai.transforms import Compose

from fetal_monai.model_folder import describe_model, write_facts
from fetal_monai.networks import DualBranchClassifier, EfficientNetBackbone, ResNetBackbone
from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed

SIZES = {"base_size": [60, 80], "detailed_size": [48, 64], "shallow_size": [32, 32]}

SCALE = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def make_network(seed: int = 0, classes: int = 16) -> DualBranchClassifier:
    """Random weights and BatchNorm statistics, so that outputs neither vanish nor agree."""
    torch.manual_seed(seed)
    network = DualBranchClassifier(
        classes, ResNetBackbone(18), EfficientNetBackbone("lite0"), shallow_size=SIZES["shallow_size"]
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.2, 0.6)
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 3, 48, 64), torch.randn(8, 3, 32, 32))
        features = network.eval().forward_features(torch.randn(8, 3, 48, 64), torch.randn(8, 3, 32, 32))
        network.head.weight.mul_(8 / features.std())
    return network


def write_model(folder: Path, network: torch.nn.Module, class_names: list[str]) -> Path:
    preprocessing = Compose(
        [
            ResizeFramed("image", size=SIZES["base_size"], only_shrink=True),
            MaskBannerd("image", fraction=0.0798),
            DualResolutiond(
                "image",
                detailed_size=SIZES["detailed_size"],
                shallow_size=SIZES["shallow_size"],
                shallow_from="detailed",
            ),
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    write_facts(folder, describe_model(network, preprocessing, class_names))
    return folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory, class_names) -> Path:
    """A complete model folder. Copy it before changing it."""
    return write_model(tmp_path_factory.mktemp("model") / "model", make_network(), class_names)


@pytest.fixture(scope="session")
def overlay(tmp_path_factory) -> Path:
    """The bundle overlay of that model."""
    path = tmp_path_factory.mktemp("overlay") / "small.yaml"
    network = {
        "_target_": "fetal_monai.networks.DualBranchClassifier",
        "num_classes": "@num_classes",
        "shallow": {"_target_": "fetal_monai.networks.ResNetBackbone", "depth": 18},
        "detailed": {"_target_": "fetal_monai.networks.EfficientNetBackbone", "variant": "lite0"},
        "shallow_size": "@shallow_size",
    }
    path.write_text(yaml.safe_dump({**SIZES, **SCALE, "network_def": network, "num_workers": 0, "batch_size": 8}))
    return path


@pytest.fixture
def new_model():
    """Write a model folder of one's own: (folder, class_names, seed) -> folder."""

    def make(folder: Path, class_names: list[str], seed: int = 0) -> Path:
        return write_model(folder, make_network(seed, len(class_names)), class_names)

    return make
