"""What several test modules share: small real data and small models, made once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from browser import open_chromium
from fetal_monai.data.phantom import PhantomSpec, generate_phantom

# Two cores shared by everything: a slow draw says nothing about the code, and no run may depend on chance.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

# Converting the network for each predictor would cost seconds; tests/inference/engines asks for each engine by name.
os.environ["FETAL_MONAI_ENGINE"] = "torch"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom: 12 patients, 60 images, stills and clips, JPEG and RGB."""
    folder = tmp_path_factory.mktemp("phantom") / "data"
    spec = PhantomSpec(patients=12, images_per_patient=5, seed=3, size=(240, 320), clip_share=0.2, rgb_share=0.2)
    generate_phantom(folder, spec, workers=1)
    return folder


@pytest.fixture(scope="session")
def class_names(root: Path) -> list[str]:
    """The sixteen classes of the default configuration."""
    return list(yaml.safe_load((root / "bundle/configs/train.yaml").read_text())["class_names"])


@pytest.fixture(scope="session")
def tiny_network() -> str:
    """An overlay in YAML: a network and views so small that they train in seconds."""
    return """
base_size: [60, 80]
shallow_size: [32, 32]
detailed_size: [48, 64]
network_def:
  _target_: fetal_monai.networks.DualBranchClassifier
  num_classes: "@num_classes"
  shallow: {_target_: fetal_monai.networks.ResNetBackbone, depth: 18}
  detailed: {_target_: fetal_monai.networks.EfficientNetBackbone, variant: lite0}
  shallow_size: "@shallow_size"
  auxiliary_heads: "@auxiliary_heads"
  freeze_backbones: "@freeze_backbones"
"""


@pytest.fixture
def randomise() -> Callable[..., Any]:
    """Draw BatchNorm parameters and statistics in place: with those of a fresh network every output is near zero."""
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    def draw(network: Any, seed: int = 0) -> Any:
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


SIZES = {"base_size": [60, 80], "detailed_size": [48, 64], "shallow_size": [32, 32]}
SCALE = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def make_network(seed: int = 0, classes: int = 16) -> Any:
    """A small network; random weights and BatchNorm statistics, so that outputs neither vanish nor agree."""
    import torch  # noqa: PLC0415

    from fetal_monai.networks import DualBranchClassifier, EfficientNetBackbone, ResNetBackbone  # noqa: PLC0415
    from untrained import spread_logits  # noqa: PLC0415

    torch.manual_seed(seed)
    network = DualBranchClassifier(
        classes, ResNetBackbone(18), EfficientNetBackbone("lite0"), shallow_size=SIZES["shallow_size"]
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.2, 0.6)
    spread_logits(network)
    return network


def write_model(folder: Path, network: Any, class_names: list[str]) -> Path:
    """A model folder of that network, as a training leaves it."""
    import torch  # noqa: PLC0415
    from monai.transforms import Compose  # noqa: PLC0415

    from fetal_monai.model.description import describe_model  # noqa: PLC0415
    from fetal_monai.model.facts import write_facts  # noqa: PLC0415
    from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed  # noqa: PLC0415

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
def model_overlay(tmp_path_factory) -> Path:
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


PLANES = ["Abdomen", "Femur", "Thorax", "Head (trans-thalamic)", "Head (trans-ventricular)", "Head (trans-cerebellum)"]
PLANES += ["Cervix", "Other"]  # those of bundle/configs/datasets/fetal_planes.yaml


@pytest.fixture(scope="session")
def evaluated_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the eight public planes as an evaluation leaves it; its random weights tell images apart."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from monai.transforms import Compose  # noqa: PLC0415

    from fetal_monai.metrics.ood import Mahalanobis  # noqa: PLC0415
    from fetal_monai.metrics.selective import Abstention  # noqa: PLC0415
    from fetal_monai.model.calibration import Calibration  # noqa: PLC0415
    from fetal_monai.model.decisions import Decisions  # noqa: PLC0415
    from fetal_monai.model.description import describe_model  # noqa: PLC0415
    from fetal_monai.model.facts import write_facts  # noqa: PLC0415
    from fetal_monai.model.file_digests import describe_files  # noqa: PLC0415
    from fetal_monai.networks import DualBranchClassifier, EfficientNetBackbone  # noqa: PLC0415
    from fetal_monai.transforms import DualResolutiond, ResizeFramed  # noqa: PLC0415

    torch.manual_seed(0)
    backbones = EfficientNetBackbone("lite0"), EfficientNetBackbone("lite0")
    network = DualBranchClassifier(8, *backbones, shallow_size=[32, 32]).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one batch, for it to know what it normalises: else all images look alike
    blurred = torch.nn.functional.interpolate(torch.rand(40, 3, 6, 8) * 2 - 1, (48, 64), mode="bilinear")
    with torch.no_grad():
        network(blurred)
        features = network.eval().forward_features(blurred)
        network.head.weight.mul_(1 / features.std())
    preprocessing = Compose(
        [
            ResizeFramed("image", size=[60, 80], only_shrink=True),
            DualResolutiond("image", detailed_size=[48, 64], shallow_size=[32, 32]),
        ]
    )
    folder = tmp_path_factory.mktemp("evaluated") / "planes"
    folder.mkdir()
    torch.save(network.state_dict(), folder / "model.pt")
    item = {"SOPInstanceUID": "1.2", "frame": -1, "class": "Femur", "patient_id": "A"}
    write_facts(folder, describe_model(network, preprocessing, PLANES, {"train": [item]}), {"epoch": 7})
    Decisions(
        Calibration("temperature", tuple(PLANES), (0.5,) * 8, (0.0,) * 8),
        Abstention(0.1, 0.9, 0.3, 0.5, 0.08),
        ood=Mahalanobis.fit(features.numpy(), np.arange(40) % 2, components=8),
        ood_threshold=1.5,
    ).write(folder, describe_files(folder, ["model.pt"])["model.pt"]["sha256"])
    (folder / "last.pt").write_bytes(b"what a training resumes from")
    return folder


@pytest.fixture(scope="session")
def stand_in(evaluated_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a release. Copy it before changing it."""
    from fetal_monai.model.release_writer import write_release  # noqa: PLC0415

    return write_release(evaluated_model, tmp_path_factory.mktemp("released") / "fetal_planes", version="0.9")


@pytest.fixture
def released(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in, in the place of the model that comes with the package."""
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", stand_in)
    return stand_in


@pytest.fixture
def chromium() -> Iterator[Any]:
    """Headless Chromium that may reach nothing but files."""
    with open_chromium() as browser:
        yield browser
