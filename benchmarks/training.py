"""How fast the bundle trains, and how much of a step waits for data: variants side by side in one run.

Each variant is the bundle's own training with other arguments. The first iterations (allocation, cuDNN's search) are
left out. Run it on a GPU; on a CPU give a small network and few iterations.

    fetal-monai phantom build/phantom --size 852 1136
    python benchmarks/training.py build/phantom --iterations 300
    python benchmarks/training.py build/phantom --iterations 10 --overlay networks/lite0_lite0.yaml
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
WARM_UP = 5
VARIANTS: dict[str, dict[str, Any]] = {
    "float32, batch 4 (the paper's)": {"amp": False, "batch_size": 4},
    "bfloat16, batch 4": {"amp": True, "batch_size": 4},
    "bfloat16, batch 32": {"amp": True, "batch_size": 32},
}


class StepTimer:
    """Seconds of each iteration, and how many of them passed before its batch was there."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.steps: list[float] = []
        self._started = self._got = 0.0

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._finish)

    def _start(self, _: Engine) -> None:
        self._started = time.perf_counter()

    def _get(self, _: Engine) -> None:
        self._got = time.perf_counter()

    def _finish(self, _: Engine) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the GPU's work belongs to the step that asked for it
        self.waits.append(self._got - self._started)
        self.steps.append(time.perf_counter() - self._started)


def measure(data: Path, overlays: list[str], iterations: int, arguments: dict[str, Any]) -> dict[str, float]:
    """Train for some iterations and return images per second, the share of waiting, and GiB of GPU memory."""
    with tempfile.TemporaryDirectory() as folder:
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / "train.yaml"), *(str(CONFIGS / overlay) for overlay in overlays)],
            workflow_type="train",
            logging_file=False,
            dataset_dir=str(data),
            ckpt_dir=f"{folder}/model",
            output_dir=f"{folder}/eval",
            max_epochs=1_000_000,
            val_interval=1_000_000,
            **arguments,
        )
        workflow.initialize()
        timer = StepTimer()
        trainer = workflow.parser.get_parsed_content("train#trainer")
        timer.attach(trainer)
        stop_at = iterations + WARM_UP
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stop_at), lambda engine: engine.terminate())
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        trainer.run()
    steps, waits = timer.steps[WARM_UP:], timer.waits[WARM_UP:]
    batch = workflow.parser.get_parsed_content("batch_size")
    return {
        "images/s": batch / statistics.median(steps),
        "waiting for data": sum(waits) / sum(steps),
        "GPU memory, GiB": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0,
    }


def main() -> None:
    """Measure every variant and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with DICOM files and annotations.csv")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--overlay", action="append", default=[], help="below bundle/configs, in order")
    parser.add_argument("--workers", type=int, default=None, help="loader processes; default: the configuration's")
    options = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    print(f"{device}, torch {torch.__version__}, {options.iterations} iterations after {WARM_UP}\n")
    print("| variant | images/s | waiting for data | GPU memory, GiB |\n|---|---|---|---|")
    for name, arguments in VARIANTS.items():
        if arguments["amp"] and not torch.cuda.is_available():
            continue
        workers = {} if options.workers is None else {"num_workers": options.workers}
        row = measure(options.data, options.overlay, options.iterations, {**arguments, **workers})
        print(f"| {name} | {row['images/s']:.1f} | {row['waiting for data']:.1%} | {row['GPU memory, GiB']:.1f} |")


if __name__ == "__main__":
    main()
