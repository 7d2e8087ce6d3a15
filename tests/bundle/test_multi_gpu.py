"""Several processes train and evaluate as one does with the same batch; when one is lost, the run can go on.

Two processes on a CPU, started by torchrun. The network has no BatchNorm, whose statistics differ by process there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fetal_monai.metrics.prediction_table import Predictions

pytestmark = pytest.mark.thorough

PATIENCE_S = 180
NETWORK = """
augmentation: []
network_def:
  _target_: fetal_monai.networks.SingleBranchClassifier
  num_classes: "@num_classes"
  backbone:
    _target_: fetal_monai.networks.MonaiBackbone
    network: BasicUNet
    out_channels: 2
    spatial_dims: 2
    in_channels: 3
    features: [8, 8, 16, 16, 16, 8]
    norm: null
optimizer:
  _target_: torch.optim.SGD
  params: $@network.parameters()
  lr: 0.01
  momentum: 0.9
"""
ORDER = """
train#dataloader#shuffle: false
train#dataloader#sampler:
  _target_: DistributedSampler
  dataset: "@train#dataset"
  seed: "@seed"
  num_replicas: 1
  rank: 0
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network of both; and what makes one process take the images in the order in which several share them."""
    folder = tmp_path_factory.mktemp("overlays")
    paths = {"network": folder / "network.yaml", "order": folder / "order.yaml"}
    paths["network"].write_text(NETWORK)
    paths["order"].write_text(ORDER)
    return paths


@pytest.fixture(scope="module")
def alone(start: Callable[..., ConfigWorkflow], overlays: dict[str, Path]) -> Callable[..., None]:
    """Train or evaluate in one process."""

    def run(out: Path, *configs: str, **options: Any) -> None:
        flow = start(out, str(overlays["network"]), str(overlays["order"]), *configs, **options)
        flow.run()
        flow.finalize()

    return run


@pytest.fixture(scope="module")
def command(root: Path, tiny: Path, phantom: Path, overlays: dict[str, Path]) -> Callable[..., list[str]]:
    """What a person types to train or evaluate in two processes."""

    def make(out: Path, *configs: str, run: str = "training", restarts: int = 0, **options: Any) -> list[str]:
        last = "multi_gpu_train.yaml" if run == "training" else "multi_gpu_evaluate.yaml"
        files = [str(root / "bundle/configs/train.yaml"), str(tiny), str(overlays["network"])]
        files += [str(root / "bundle/configs" / name) for name in (*configs, last)]
        folders = {"dataset_dir": phantom, "ckpt_dir": out / "model", "output_dir": out / "eval"}
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        return [
            *[*torchrun, "--max_restarts", str(restarts), "-m", "monai.bundle", "run", run, f"--config_file={files}"],
            *[f"--{name}={value}" for name, value in {**folders, **options}.items()],
        ]

    return make


@pytest.fixture(scope="module")
def together(root: Path, command: Callable[..., list[str]]) -> Run:
    """Train or evaluate in two processes."""

    def run(out: Path, *configs: str, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(out, *configs, **options), cwd=root, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return done

    return run


@pytest.fixture(scope="module")
def pair(together: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two epochs in two processes."""
    out = tmp_path_factory.mktemp("pair")
    together(out)
    return out


def last(out: Path) -> dict[str, Any]:
    return torch.load(out / "model" / "last.pt", weights_only=True)


def assert_same_end(one: Path, other: Path) -> None:
    """The same weights, momenta, progress and best validation, but for rounding."""
    ours, theirs = last(one), last(other)
    assert ours["trainer"] == theirs["trainer"]
    assert ours["started_with"] == theirs["started_with"]
    assert ours["evaluator"]["best_metric"] == pytest.approx(theirs["evaluator"]["best_metric"], abs=1e-4)
    assert_same_weights(ours["network"], theirs["network"])
    for number, state in ours["optimizer"]["state"].items():
        assert_same_weights(state, theirs["optimizer"]["state"][number])


def assert_same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Sums over processes are rounded otherwise, and each step adds to it."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert (value - theirs[name]).norm() <= 5e-3 * theirs[name].norm() + 1e-6, name


def scalars(out: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(out / "eval" / "tensorboard")).Reload()
    return {name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_two_processes_train_as_one_does_with_the_same_batch(pair, alone, tmp_path):
    """Losses, weights, metrics; with a loss weighted by class, an odd data set, and the files of one process."""
    alone(tmp_path)
    assert_same_end(pair, tmp_path)
    curves = scalars(pair)
    assert len(curves["train_loss"]) == 8
    assert len(set(curves["train_loss"])) == 8
    assert curves == {name: pytest.approx(values, rel=1e-3, abs=1e-5) for name, values in scalars(tmp_path).items()}
    written = [sorted(path.relative_to(out) for path in (out / "model").iterdir()) for out in (pair, tmp_path)]
    assert written[0] == written[1]
    events = [len(list((out / "eval" / "tensorboard").iterdir())) for out in (pair, tmp_path)]
    assert events[0] == events[1], "one process writes"


def test_two_processes_go_the_same_way_uphill(together, alone, tmp_path):
    recipe, options = "recipes/sharpness_aware.yaml", {"max_epochs": 1, "sharpness_radius": 0.5}
    together(tmp_path / "two", recipe, **options)
    alone(tmp_path / "one", recipe, **options)
    alone(tmp_path / "level", max_epochs=1)
    assert_same_end(tmp_path / "two", tmp_path / "one")
    weights, level = (last(tmp_path / name)["network"] for name in ("one", "level"))
    with pytest.raises(AssertionError):
        assert_same_weights(weights, level)


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_in_one_and_the_other_way_round(pair, alone, together, tmp_path):
    together(tmp_path / "first two", max_epochs=1)
    alone(tmp_path / "first two", max_epochs=2, resume=True)
    assert_same_end(pair, tmp_path / "first two")
    alone(tmp_path / "first one", max_epochs=1)
    together(tmp_path / "first one", max_epochs=2, resume=True)
    assert_same_end(pair, tmp_path / "first one")


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(pair, alone, together, tmp_path):
    """The splits have odd numbers of images; one process of the two looks at more."""
    options = {"ckpt_dir": str(pair / "model")}
    together(tmp_path / "two", "evaluate.yaml", run="evaluating", **options)
    fitted = {path.name: path.read_text() for path in (pair / "model").glob("*.json")}
    alone(tmp_path / "one", "evaluate.yaml", run_id="evaluating", **options)
    for path in (pair / "model").glob("*.json"):
        assert_close(json.loads(path.read_text()), json.loads(fitted[path.name]))
    one, two = tmp_path / "one" / "eval", tmp_path / "two" / "eval"
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
    assert_close(json.loads((one / "metrics.json").read_text()), json.loads((two / "metrics.json").read_text()))
    for name in ("predictions.csv", "predictions_validation.csv"):
        ours, theirs = (pd.read_csv(out / name, dtype={"SOPInstanceUID": str}) for out in (one, two))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4, atol=1e-5)
    assert len(Predictions.read_csv(two / "predictions.csv")) == 15


def assert_close(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_close(value, other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for ours, theirs in zip(one, other, strict=True):
            assert_close(ours, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    else:
        assert one == other


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return found


def process_of(torchrun: int, rank: int) -> int:
    """The process of a rank, by what torchrun has told it."""
    for child in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise LookupError(rank)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_when_a_process_is_lost_the_run_ends_with_the_command_that_goes_on(
    root, command, together, alone, tmp_path, rank
):
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command(tmp_path, max_epochs=50), cwd=root, stdout=log, stderr=log)
        assert wait_for((tmp_path / "model" / "last.pt").exists, process), (tmp_path / "log").read_text()[-6000:]
        os.kill(process_of(process.pid, rank), signal.SIGKILL)
        assert process.wait(timeout=PATIENCE_S) == 1
    said = (tmp_path / "log").read_text()
    assert f"Error in process {1 - rank} of 2: one of the processes ended before its time" in said
    again = r"  torchrun --nproc_per_node 2 -m monai.bundle run training .* --resume True\n"
    assert re.search(r"go on after the last whole epoch with\n(\[rank\d\]: )?" + again, said)
    assert said.count("one of the processes ended before its time") == 1
    assert "Signal 9 (SIGKILL)" in said, "torchrun's own report"
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"last.pt", "model.pt", "model.json"}
    epochs = last(tmp_path)["trainer"]["iteration"] // 4
    together(tmp_path, max_epochs=epochs + 1, resume=True)
    alone(tmp_path / "whole", max_epochs=epochs + 1)
    assert_same_end(tmp_path, tmp_path / "whole")


@pytest.mark.slow
def test_torchrun_starts_a_lost_process_again(root, command, alone, tmp_path):
    options = {"max_epochs": 6, "resume": True}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command(tmp_path, restarts=1, **options), cwd=root, stdout=log, stderr=log)
        assert wait_for((tmp_path / "model" / "last.pt").exists, process)
        os.kill(process_of(process.pid, 1), signal.SIGKILL)
        assert process.wait(timeout=PATIENCE_S) == 0, (tmp_path / "log").read_text()[-6000:]
    said = (tmp_path / "log").read_text()
    assert "the others end with it; torchrun starts all of them again" in said
    assert "resumed from" in said
    alone(tmp_path / "whole", max_epochs=6)
    assert_same_end(tmp_path, tmp_path / "whole")
