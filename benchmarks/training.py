"""Images per second of a training's step: the bundle's settings against the reference's, side by side in one run.

The reference (arXiv 2506.08623) trains EfficientNet-B0 at 224 x 224 with EfficientNet-B6 at 528 x 528 as torch does by
default: eager, float32, contiguous, batches of 4, Adam, both views copied to the device. Ours is the same network, loss
and optimizer out of `train.yaml`, in MONAI's trainer, with the configuration's settings and with one switch after the
other turned. The batches are made up and lie in (pinned) memory: what the loader takes is measured by `loading.py`.

The reference is measured first and last; ratios are to the mean of the two. Steps are timed with the device at rest
before and after each; the first ones, in which kernels are chosen and compiled, do not count.

    python benchmarks/training.py --device cuda --seconds 20 --json training.json
    python benchmarks/training.py --device cpu --seconds 5 --network lite0_lite0 --only default
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.engines import PrepareBatchExtraInput, SupervisedTrainer
from monai.inferers import SimpleInferer

from fetal_monai.inference.float32 import allow_tf32
from fetal_monai.utils.shallow_view import shallow_view

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
REFERENCE = "eager float32, batch 4 (the reference's)"
"""What the others are measured against."""
_REFERENCE: dict[str, Any] = {
    "amp": False,
    "batch_size": 4,
    "channels_last": False,
    "compile": False,
    "fused": False,
    "shallow_in_network": False,
    "tf32": True,  # torch's own default allows it to convolutions
}
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: _REFERENCE,
    "default": {},
    "default, batch 16": {"batch_size": 16},
    "default, batch 32": {"batch_size": 32},
    "float32, batch 4": {"amp": False},
    "float32 without TF32, batch 4": {"amp": False, "tf32": False},
    "channels_last, batch 32": {"batch_size": 32, "channels_last": True},
    "not fused, batch 32": {"batch_size": 32, "fused": False},
    "float16, batch 32": {"batch_size": 32, "amp_dtype": "$torch.float16"},
    "checkpoint_activations, batch 32": {"batch_size": 32, "checkpoint_activations": True},
    "accumulate 4, batch 8": {"batch_size": 8, "accumulate": 4},
    "compile, batch 32": {"batch_size": 32, "compile": True},
    "compile and channels_last, batch 32": {"batch_size": 32, "compile": True, "channels_last": True},
}
CPU_VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: _REFERENCE,
    "default": {},
    "channels_last": {"channels_last": True},
    "fused": {"fused": True},
    "checkpoint_activations": {"checkpoint_activations": True},
    "accumulate 2": {"accumulate": 2},
    "default, batch 8": {"batch_size": 8},
}
SWITCHES = (
    *("amp", "amp_dtype", "batch_size", "channels_last", "compile", "compile_kwargs", "fused", "accumulate"),
    *("checkpoint_activations", "shallow_in_network", "tf32"),
)


def build(
    device: torch.device, network: str | None, changes: dict[str, Any]
) -> tuple[SupervisedTrainer, dict[str, Any]]:
    """Make a trainer of the configuration with some of its values changed, and say what they all are."""
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.yaml"), *([str(CONFIGS / f"networks/{network}.yaml")] if network else [])])
    counts = "$[40 + 7 * i for i in range(@num_classes)]"
    imports = [f"$import {name}" for name in ("fetal_monai", "fetal_monai.inference.autocast", "fetal_monai.networks")]
    parser.update({"device": device, "class_counts": counts, "imports": imports, **changes})
    get = parser.get_parsed_content
    settings = {name: get(name) for name in SWITCHES}
    if device.type == "cuda":
        allow_tf32(settings["tf32"])
    torch.manual_seed(0)
    batch = make_batch(
        settings["batch_size"],
        get("detailed_size"),
        None if settings["shallow_in_network"] else get("shallow_size"),
        pinned=device.type == "cuda",
    )
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=[batch] * 1_000_000,
        network=get("network"),
        optimizer=get("optimizer"),
        loss_function=get("loss"),
        inferer=SimpleInferer(),
        prepare_batch=PrepareBatchExtraInput(sorted(batch.keys() - {"image", "label"})),
        non_blocking=device.type == "cuda",
        decollate=False,
        amp=settings["amp"],
        amp_kwargs={"dtype": settings["amp_dtype"]},
        compile=settings["compile"],
        compile_kwargs=settings["compile_kwargs"],
        accumulation_steps=settings["accumulate"],
    )
    return trainer, settings


def make_batch(size: int, detailed: list[int], shallow: list[int] | None, *, pinned: bool) -> dict[str, torch.Tensor]:
    """Noise and labels, as a loader would hand them over."""
    batch = {"image": torch.randn(size, 3, *detailed), "label": torch.arange(size) % 16}
    if shallow is not None:
        batch["image_shallow"] = shallow_view(batch["image"], shallow)
    return {name: value.pin_memory() for name, value in batch.items()} if pinned else batch


def measure(
    device: torch.device, network: str | None, seconds: float, warm_up: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """Train for some seconds after the first steps."""
    cuda = device.type == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    trainer, settings = build(device, network, changes)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    steps: list[float] = []
    clock = {"start": 0.0, "first": 0.0}

    def start(_: Any) -> None:
        wait()
        clock["start"] = time.perf_counter()

    def finish(engine: Any) -> None:
        wait()
        now = time.perf_counter()
        steps.append(now - clock["start"])
        if len(steps) == warm_up:
            clock["first"] = now
        if len(steps) > warm_up + 2 and now - clock["first"] > seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_STARTED, start)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, finish)
    trainer.run()
    taken = statistics.median(steps[warm_up:])
    loss = trainer.state.output["loss"].item()
    result = {
        "images_per_s": settings["batch_size"] / taken,
        "step_ms": 1e3 * taken,
        "steps": len(steps) - warm_up,
        "warm_up_s": sum(steps[:warm_up]),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
        "loss": loss,
        "settings": {name: str(value) for name, value in settings.items()},
    }
    del trainer
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
    torch._dynamo.reset()  # noqa: SLF001  # there is no other way to forget what was compiled
    return result


def main() -> None:
    """Measure every variant, print a table in Markdown, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each variant, after its first steps")
    parser.add_argument("--warm-up", type=int, default=5, help="steps that do not count")
    parser.add_argument("--network", help="of bundle/configs/networks; default: that of train.yaml")
    parser.add_argument("--only", action="append", help="a variant by name; may be repeated; the reference always runs")
    parser.add_argument("--json", type=Path, help="where to write all figures and settings")
    options = parser.parse_args()
    device = torch.device(options.device)
    named = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    variants = VARIANTS if device.type == "cuda" else CPU_VARIANTS
    if unknown := set(options.only or []) - variants.keys():
        parser.error(f"no such variant: {', '.join(sorted(unknown))}; there are: {', '.join(variants)}")
    chosen = {name: what for name, what in variants.items() if name == REFERENCE or name in (options.only or variants)}
    network = options.network or "the default network"
    print(f"{named}, torch {torch.__version__}, {network}, median steps of {options.seconds:g} s\n")
    results: dict[str, dict[str, Any]] = {}
    for name, changes in [*chosen.items(), ("the reference's again", _REFERENCE)]:
        try:
            results[name] = measure(device, options.network, options.seconds, options.warm_up, changes)
        except Exception as error:  # noqa: BLE001  # out of memory, no compiler: the others are measured all the same
            while error.__cause__:  # MONAI wraps what a configuration's component raises
                error = error.__cause__
            results[name] = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
            gc.collect()
        print(f"{name}: {results[name].get('images_per_s') or results[name]['error']}", flush=True)
    both = [
        results[name]["images_per_s"]
        for name in (REFERENCE, "the reference's again")
        if "images_per_s" in results[name]
    ]
    mean = statistics.mean(both) if both else float("nan")
    print("\n| variant | images/s | to the reference | step, ms | memory, GiB | first steps, s |")
    print("|---|---|---|---|---|---|")
    for name, row in results.items():
        if "error" in row:
            print(f"| {name} | {row['error']} | | | | |")
            continue
        row["ratio"] = row["images_per_s"] / mean
        memory = "" if row["memory_gib"] is None else f"{row['memory_gib']:.1f}"
        print(
            f"| {name} | {row['images_per_s']:.1f} | {row['ratio']:.2f} | {row['step_ms']:.1f} | {memory} "
            f"| {row['warm_up_s']:.1f} |"
        )
    if options.json:
        facts = {"device": named, "torch": torch.__version__, "network": options.network, "seconds": options.seconds}
        options.json.write_text(json.dumps({**facts, "variants": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
