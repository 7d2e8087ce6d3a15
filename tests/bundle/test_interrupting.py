"""Ctrl-C ends a training in a line, and it can go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

pytestmark = pytest.mark.thorough

PATIENCE_S = 120


@pytest.fixture
def heeded() -> Iterator[None]:
    """Ctrl-C reaches the processes that are started: in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("module", "workers"), [(["fetal_monai", "run"], 0), (["monai.bundle", "run"], 2)])
def test_a_training_is_interrupted_in_a_line_and_keeps_whole_epochs(root, tiny, phantom, tmp_path, module, workers):
    last = tmp_path / "model" / "last.pt"
    files = f"['{root / 'bundle/configs/train.yaml'}','{tiny}']"
    folders = {"dataset_dir": phantom, "ckpt_dir": last.parent, "output_dir": tmp_path / "eval", "num_workers": workers}
    options = [f"--{name}={value}" for name, value in {**folders, "max_epochs": 1000}.items()]
    with (
        (tmp_path / "told.txt").open("w") as told,
        subprocess.Popen(
            [sys.executable, "-m", *module, "training", f"--config_file={files}", *options],
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as training,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while not last.exists() and training.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        try:
            os.killpg(training.pid, signal.SIGINT)  # as a terminal does
            status = training.wait(PATIENCE_S)
        finally:
            training.kill()
    said = (tmp_path / "told.txt").read_text()
    assert last.exists(), said
    assert status in {130, -signal.SIGINT}
    assert said.rstrip().endswith("Interrupted. A training goes on from its last whole epoch with --resume True.")
    assert "Traceback" not in said
    assert torch.load(last, weights_only=True)["trainer"]["iteration"] >= 1
