"""A bundle small enough to train in seconds: the real configs with a tiny overlay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

TRAINING = """
cache_rate: 1.0
num_workers: 0
batch_size: 8
max_epochs: 2
"""


@pytest.fixture(scope="session")
def tiny(tiny_network: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay file of a tiny network."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(tiny_network + TRAINING)
    return path


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def start(workflow: Callable[..., ConfigWorkflow], phantom: Path) -> Callable[..., ConfigWorkflow]:
    """Start what a person runs on the phantom: the model is in OUT/model, what is written in OUT/eval."""

    def begin(out: Path, *overlays: str, run_id: str = "training", **override: Any) -> ConfigWorkflow:
        folders = {"dataset_dir": str(phantom), "ckpt_dir": str(out / "model"), "output_dir": str(out / "eval")}
        flow = workflow("train", "train.yaml", *overlays, **{**folders, **override})
        flow.run_id = run_id
        flow.initialize()
        return flow

    return begin
