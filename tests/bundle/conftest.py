"""A bundle small enough to train in seconds: the real configs with a tiny overlay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

TINY = """
base_size: [60, 80]
shallow_size: [32, 32]
detailed_size: [48, 64]
network_def:
  _target_: fetal_monai.networks.DualBranchClassifier
  num_classes: "@num_classes"
  shallow: {_target_: fetal_monai.networks.ResNetBackbone, depth: 18}
  detailed: {_target_: fetal_monai.networks.EfficientNetBackbone, variant: lite0}
  shallow_size: "@shallow_size"
cache_rate: 1.0
num_workers: 0
batch_size: 8
max_epochs: 2
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay file of a tiny network."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def workflow(root: Path, tiny: Path) -> Callable[..., ConfigWorkflow]:
    """Make a workflow of the bundle's configs, the tiny overlay among them."""

    def make(kind: str, *configs: str, **override: Any) -> ConfigWorkflow:
        files = [str(root / "bundle/configs" / name) for name in configs]
        return ConfigWorkflow(
            config_file=[files[0], str(tiny), *files[1:]],
            workflow_type=kind,
            logging_file=False,
            bundle_root=str(root / "bundle"),
            **override,
        )

    return make
