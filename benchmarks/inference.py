"""Measure what engines make of a network: PyTorch in float32 against all others, side by side.

    python benchmarks/inference.py --out build/inference.json

PyTorch comes twice, and the others are compared with both: eager as a network is after `torch.load` (planes of
channels, as the reference runs it), and with interleaved channels, which is how `Predictor` runs it.

The default network (EfficientNet-B0 at 224 and B6 at 528, random weights) and the released model. Engines take turns
in every round, so that other work on the machine meets them all; the least of the rounds counts. With one thread it is
processor time, which other work disturbs least, with more it is wall time: there, only an idle machine gives figures.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from networks import processor

from fetal_monai.inference.engines.eager import EagerEngine
from fetal_monai.inference.engines.engine import Engine
from fetal_monai.inference.engines.graph import ViewShapes, probe, view_shapes
from fetal_monai.inference.engines.onnxruntime_engine import OnnxRuntimeEngine, to_onnx
from fetal_monai.inference.engines.openvino_engine import OpenVinoEngine, convert, import_openvino, quantised_engine
from fetal_monai.inference.engines.quantise import quantise
from fetal_monai.model.folder import load_model
from fetal_monai.model.released_model import released_model
from fetal_monai.networks.mirror_images import one_pass

ROOT = Path(__file__).resolve().parents[1]
EAGER, INTERLEAVED = "torch float32, planes", "torch float32, interleaved"


def default_network() -> tuple[torch.nn.Module, ViewShapes]:
    """Return the default network and its views; BatchNorm has seen something, so that outputs do not vanish."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "bundle/configs/train.yaml"))
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    detailed, shallow = parser["detailed_size"], parser["shallow_size"]
    return network.eval(), {"image": (3, *detailed), "image_shallow": (3, *shallow)}


def released_network() -> tuple[torch.nn.Module, ViewShapes]:
    """Return the released model's network and its views."""
    network, preprocessing, _ = load_model(released_model())
    return network, view_shapes(preprocessing)


def make_engines(network: torch.nn.Module, views: ViewShapes, calibrating: int) -> dict[str, Engine]:
    """Build every engine of one network, on as many threads as PyTorch has now; each makes one pass."""
    content = to_onnx(network, views)
    generator = torch.Generator().manual_seed(0)
    noise = ([torch.rand(1, *v, generator=generator) * 2 - 1 for v in views.values()] for _ in range(calibrating))
    converted = convert(network, views)
    planes, interleaved = (
        copy.deepcopy(one_pass(network)).to(memory_format=layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    engines: dict[str, Engine] = {
        EAGER: EagerEngine(planes, features=True),
        INTERLEAVED: EagerEngine(interleaved, features=True),
        "openvino float32": OpenVinoEngine(converted),
        "onnxruntime float32": OnnxRuntimeEngine(content),
        "openvino bfloat16": OpenVinoEngine(converted, precision="bf16"),
    }
    if calibrating:
        images = list(noise)
        fused = import_openvino().Core().read_model(quantise(content, images, results=False))
        engines["openvino int8"] = quantised_engine(fused)
        engines["onnxruntime int8"] = OnnxRuntimeEngine(quantise(content, images), precision="int8")
    return engines


def milliseconds(engines: dict[str, Engine], batch: list[torch.Tensor], rounds: int) -> dict[str, float]:
    """Return the least time for one image of each engine, over rounds in which they take turns."""
    clock: Callable[[], float] = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.forward(batch)
    for _ in range(rounds):
        for name, engine in engines.items():
            start = clock()
            engine.forward(batch)
            times[name].append(clock() - start)
    return {name: 1000 * float(np.min(row)) / len(batch[0]) for name, row in times.items()}


def table(rows: list[dict[str, object]]) -> str:
    """Format the figures as Markdown."""
    lines = [
        "| network | threads | engine | ms per image | times eager PyTorch's speed | times interleaved PyTorch's |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['threads']} | {row['engine']} | {row['ms']:.1f} | {row['eager']:.2f} "
        f"| {row['interleaved']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4, help="images per pass")
    parser.add_argument(
        "--calibrating", type=int, default=4, help="noise images for int8, which is for its speed; 0: none"
    )
    parser.add_argument("--only", choices=["default", "released"], help="one of the networks")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name, load in (("default", default_network), ("released", released_network)):
        if arguments.only not in (None, name):
            continue
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            network, views = load()
            engines = make_engines(network, views, arguments.calibrating)
            batch = [view.repeat(arguments.batch, 1, 1, 1)[: arguments.batch] for view in probe(views)]
            found = milliseconds(engines, batch, arguments.rounds)
            rows += [
                {
                    "network": name,
                    "threads": threads,
                    "engine": key,
                    "version": engines[key].name,
                    "ms": ms,
                    "eager": found[EAGER] / ms,
                    "interleaved": found[INTERLEAVED] / ms,
                }
                for key, ms in found.items()
            ]
            print(table(rows), flush=True)
    if arguments.out:
        content = {"processor": processor(), "batch": arguments.batch, "rounds": arguments.rounds, "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
