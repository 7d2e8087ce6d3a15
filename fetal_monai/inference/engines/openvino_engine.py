"""OpenVINO: the fastest on Intel's and AMD's processors, converted in memory or read from an exported file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import numpy as np
import torch

from fetal_monai.errors import InputError
from fetal_monai.inference.engines.engine import require
from fetal_monai.inference.engines.graph import ViewShapes, traced
from fetal_monai.inference.engines.record import KEY
from fetal_monai.utils.interrupts import interrupts_afterwards

Precision = Literal["f32", "bf16"]
_MOST_LANES = 4
"""Batches at once; more threads share them, for each needs memory, and images that are decoded in time."""
_NAMES = {"f32": "float32", "bf16": "bfloat16"}


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would call a server from wherever images are classified.

    Returns:
        The package.

    Raises:
        FetalMonaiError: if it is not installed.
    """
    require("openvino")
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # OpenVINO then takes its stub
    import openvino  # noqa: PLC0415

    return openvino


class OpenVinoEngine:
    """An OpenVINO model on the CPU, on as many threads as PyTorch has.

    All threads work on one batch, which is soon done, and wait for each other at every layer; or each works on a batch
    of its own, which gives more images a second, above all beside threads that decode.

    Args:
        model: an `openvino.Model` whose outputs are logits and features.
        precision: of what is not quantised: "f32" computes in 32-bit floats; "bf16" faster and with 8 bits of mantissa,
            where the processor can.
        label: what predictions record of the precision, where that is the model's own.
        throughput: a batch for each thread, or for each few of more than four.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> network = SingleBranchClassifier(4, ResNetBackbone(18)).eval()
        >>> engine = OpenVinoEngine(convert(network, {"image": (3, 64, 96)}))  # doctest: +SKIP
        >>> engine.forward([torch.zeros(2, 3, 64, 96)])[0].shape  # doctest: +SKIP
        torch.Size([2, 4])
    """

    def __init__(
        self, model: Any, *, precision: Precision = "f32", label: str | None = None, throughput: bool = False
    ) -> None:
        openvino = import_openvino()
        threads = torch.get_num_threads()
        self.lanes = min(threads, _MOST_LANES) if throughput else 1
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self.lanes,
            "ENABLE_CPU_PINNING": False,  # the threads that decode need processors, too
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._idle: SimpleQueue[Any] = SimpleQueue()  # requests, each with memory of its own for what it computes
        version = openvino.get_version().split("-")[0]
        self.name = f"OpenVINO {version}, {label or _NAMES[precision]}"

    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Classify; see `Engine.forward`.

        Args:
            batch: the views.
        """
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        found = request.infer([np.ascontiguousarray(view.numpy()) for view in batch], share_inputs=True)
        logits, features = (torch.from_numpy(np.array(found[k])) for k in range(2))
        self._idle.put(request)
        return logits, features


def quantised_engine(model: Any, *, throughput: bool = False) -> OpenVinoEngine:
    """Run a model of 8-bit integers, and what is not quantised in bfloat16 where the processor can.

    Args:
        model: an `openvino.Model`.
        throughput: see `OpenVinoEngine`.

    Returns:
        The engine.
    """
    return OpenVinoEngine(model, precision="bf16", label="int8", throughput=throughput)


def convert(network: torch.nn.Module, views: ViewShapes) -> Any:
    """Convert a network in memory.

    Args:
        network: as `LogitsAndFeatures` takes it.
        views: the shape of each view.

    Returns:
        An `openvino.Model` for any number of images, with inputs by the views' names.

    Raises:
        FetalMonaiError: if the network is of another make, or OpenVINO is not installed.
    """
    openvino = import_openvino()
    shapes = [openvino.PartialShape([-1, *shape]) for shape in views.values()]
    # A plain list of shapes: given an example, OpenVINO would record the network once more.
    recorded = traced(network, views)
    with interrupts_afterwards():
        model = openvino.convert_model(recorded, input=shapes)
    for port, name in zip(model.inputs, views, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, ("logits", "features"), strict=True):
        port.get_tensor().set_names({name})
    return model


def read_openvino(path: Path) -> tuple[Any, str | None]:
    """Read an exported file.

    Args:
        path: the .xml, with its .bin beside it.

    Returns:
        The `openvino.Model`, and what it says of the model that it is of.

    Raises:
        InputError: if it cannot be read.
        FetalMonaiError: if OpenVINO is not installed.
    """
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(path)
        text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    except RuntimeError as error:
        raise InputError(
            path, ["OpenVINO cannot read it: it is damaged or incomplete; export the model again"]
        ) from error
    return model, text
