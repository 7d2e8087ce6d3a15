"""What several test modules share: small real data, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from fetal_monai.data.phantom import PhantomSpec, generate_phantom

# Two cores shared by everything: a slow draw says nothing about the code, and no run may depend on chance.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

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
