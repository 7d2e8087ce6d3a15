"""Measure every network of the bundle: parameters, MACs, and the latency of one image on this machine's CPU.

    python benchmarks/networks.py --write docs/networks.md

One image in, logits out: the coarse view is derived inside, as in an export. Latencies are the least of at least five
repetitions on one thread, in processor time, which other work on the machine disturbs least; their ratio to the default
network is what transfers to another machine.
"""

from __future__ import annotations

import argparse
import platform
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from monai.bundle import ConfigParser
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = "effnet_b0_b6"
BEGIN, END = "<!-- benchmarks/networks.py: begin -->", "<!-- benchmarks/networks.py: end -->"


def build(path: Path) -> tuple[torch.nn.Module, list[int], list[int] | None]:
    """Return the network of an overlay and the sides of its views."""
    parser = ConfigParser()
    parser.read_config([path.parents[1] / "train.yaml", path])
    parser["num_classes"] = 16
    network = parser.get_parsed_content("network_def").eval()
    return network, parser["detailed_size"], parser["shallow_size"]


def latency_ms(call: Callable[[], object], *, budget_s: float) -> float:
    """Return the least processor time of a call, after two to warm up, over at least five repetitions."""
    for _ in range(2):
        call()
    times: list[float] = []
    while len(times) < 5 or sum(times) < budget_s:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def macs(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Return the multiply-accumulate operations of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() // 2


def onnx_session(network: torch.nn.Module, image: torch.Tensor, folder: str) -> onnxruntime.InferenceSession:
    """Export and open in ONNX Runtime, and make sure that it computes the same."""
    path = Path(folder, "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (image,), path, input_names=["image"], dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    torch.testing.assert_close(
        torch.from_numpy(session.run(None, {"image": image.numpy()})[0]), network(image), rtol=1e-3, atol=1e-3
    )
    return session


def measure(path: Path, budget_s: float) -> dict[str, float | str]:
    """Return the figures of one network."""
    torch.manual_seed(0)
    network, detailed, shallow = build(path)
    image = torch.rand(1, 3, *detailed) * 2 - 1
    with torch.inference_mode():
        network(image)
        row: dict[str, float | str] = {
            "name": path.stem,
            "views": " + ".join(f"{h} x {w}" for h, w in filter(None, (shallow, detailed))),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "macs": macs(network, image),
            "fp32": latency_ms(lambda: network(image), budget_s=budget_s),
        }
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        session = onnx_session(network, image, folder)
        inputs = {"image": image.numpy()}
        row["onnx"] = latency_ms(lambda: session.run(None, inputs), budget_s=budget_s)
    network = network.to(memory_format=torch.channels_last)
    interleaved = image.to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        row["bf16"] = latency_ms(lambda: network(interleaved), budget_s=budget_s)
    return row


def table(rows: list[dict[str, float | str]]) -> str:
    """Format the figures as Markdown, latencies with their ratio to the default network's float32."""
    base = next((float(row["fp32"]) for row in rows if row["name"] == DEFAULT), float("nan"))
    flags = " ".join(sorted(_bf16_flags())) or "none"
    machine = f"one thread of {processor()} (bfloat16 instructions: {flags})"
    software = f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}"
    lines = [
        f"One image, {machine}, {software}. In brackets: relative to the default network in float32.",
        "",
        "| network | views | parameters (M) | MACs (G) | fp32 (ms) | bf16, channels last (ms) | ONNX Runtime (ms) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{float(row[key]):.0f} ({float(row[key]) / base:.2f})" for key in ("fp32", "bf16", "onnx")]
        counts = [f"{float(row['parameters']) / 1e6:.1f}", f"{float(row['macs']) / 1e9:.1f}"]
        lines.append("| " + " | ".join([f"`{row['name']}`", str(row["views"]), *counts, *cells]) + " |")
    return "\n".join(lines)


def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def processor() -> str:
    """Name the processor of this machine."""
    match = re.search(r"model name\s*: (.+)", _cpu_info())
    return match[1] if match else platform.processor() or platform.machine()


def _bf16_flags() -> set[str]:
    return {"avx512_bf16", "amx_bf16"} & set(_cpu_info().split())


def main() -> None:
    """Measure, print, and replace the table in a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="replace the table between the markers of this document")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds for each latency")
    parser.add_argument("--only", nargs="*", help="names of networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for path in sorted((ROOT / "bundle/configs/networks").glob("*.yaml")):
        if not arguments.only or path.stem in arguments.only:
            rows.append(measure(path, arguments.budget))
            print(rows[-1], flush=True)
    text = table(sorted(rows, key=lambda row: float(row["parameters"])))
    print(text)
    if arguments.write:
        document = arguments.write.read_text(encoding="utf-8")
        before, rest = document.split(BEGIN)
        arguments.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
