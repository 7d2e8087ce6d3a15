"""Which engine runs a model: the one that was asked for, or the fastest at hand that computes what PyTorch does."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.engines.eager import EagerEngine
from fetal_monai.inference.engines.engine import Engine, EngineModel, installed
from fetal_monai.inference.engines.graph import probe, view_shapes
from fetal_monai.inference.engines.mirrored import MirroredEngine
from fetal_monai.inference.engines.onnxruntime_engine import OnnxRuntimeEngine, to_onnx
from fetal_monai.inference.engines.openvino_engine import (
    OpenVinoEngine,
    Precision,
    convert,
    quantised_engine,
    read_openvino,
)
from fetal_monai.inference.engines.parity import FLOAT32, compare
from fetal_monai.inference.engines.record import check_record, read_record, stored_file
from fetal_monai.networks.mirror_images import averages_flips, one_pass
from fetal_monai.utils.interrupts import interrupts_afterwards

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino", "onnxruntime", "openvino-bf16", "openvino-int8", "onnxruntime-int8")
VARIABLE = "FETAL_MONAI_ENGINE"
"""The environment variable that says what `auto` means on a machine's CPU."""


def choose_engine(name: str, model: EngineModel, device: torch.device, *, features: bool) -> Engine:
    """Make the engine of a model.

    Args:
        name: one of `ENGINES`. `auto` takes OpenVINO where it is installed, an ONNX file of the model folder where only
            ONNX Runtime is, and PyTorch where neither is, on a GPU, or where they fail, which is logged in one line.
        model: what it is made of.
        device: where PyTorch runs the network; other engines run on the CPU alone.
        features: whether features are wanted of PyTorch; the others always give them.

    Returns:
        The engine. In float32 it has shown that it agrees with PyTorch within `parity.FLOAT32`.

    Raises:
        FetalMonaiError: if there is no such engine, its package is not installed, it is not for the device, or it
            does not compute what PyTorch does.
        InputError: if an exported file is missing, damaged or of another model.
    """
    eager = EagerEngine(model.network, features=features)
    if name == "auto" and device.type != "cpu":
        return eager
    asked = (os.environ.get(VARIABLE) or name) if name == "auto" else name
    if asked not in ENGINES:
        where = f" (from the environment variable {VARIABLE})" if asked != name else ""
        raise FetalMonaiError(f"there is no engine '{asked}'{where}; known are {', '.join(ENGINES)}")
    if asked == "torch":
        return eager
    if device.type != "cpu":
        raise FetalMonaiError(f"the engine {asked} runs on the CPU, not on {device}; leave out --device or --engine")
    with interrupts_afterwards():
        engine = _fastest(model) if asked == "auto" else _make(asked, model)
    if engine is None:
        return eager
    return MirroredEngine(engine, model.network) if averages_flips(model.network) else engine


def _fastest(model: EngineModel) -> Engine | None:
    """The fastest engine that is installed and agrees with PyTorch; None where there is none."""
    for asked, usable in (
        ("openvino", installed("openvino")),
        ("onnxruntime", installed("onnxruntime") and stored_file(model, "onnx").is_file()),
    ):
        if not usable:
            continue
        try:
            return _make(asked, model)
        except Exception as error:  # noqa: BLE001  # whatever a converter stumbles over, PyTorch can do it
            cause = str(error).strip() or type(error).__name__
            logger.warning("PyTorch classifies, because %s cannot: %s", asked, " ".join(cause.split())[:300])
            return None
    return None


def _make(asked: str, model: EngineModel) -> Engine:
    library, _, precision = asked.partition("-")
    if library == "openvino":
        if precision == "int8":
            return _stored_openvino(_must_be_there(model, "openvino-int8"), model, quantised_engine)[1]
        return _openvino(model, "bf16" if precision == "bf16" else "f32")
    return _stored_onnx(model, int8=precision == "int8") if precision else _onnxruntime(model)


def _openvino(model: EngineModel, precision: Precision) -> Engine:
    path = stored_file(model, "openvino")
    if path.is_file():
        network, engine = _stored_openvino(path, model, OpenVinoEngine)
        if precision == "f32":
            return engine
    else:
        network = convert(model.network, view_shapes(model.preprocessing))
    engine = OpenVinoEngine(network, precision=precision, throughput=model.throughput)
    if precision == "f32":
        _must_agree(engine, model)
    return engine


def _stored_openvino(path: Path, model: EngineModel, make: Callable[..., Engine]) -> tuple[Any, Engine]:
    network, text = read_openvino(path)
    try:
        engine = make(network, throughput=model.throughput)
    except RuntimeError as error:  # numbers that OpenVINO's own checks stumble over
        raise InputError(path, ["OpenVINO cannot run it: it is damaged; export the model again"]) from error
    check_record(read_record(text, path), path, model, engine)
    return network, engine


def _onnxruntime(model: EngineModel) -> Engine:
    if stored_file(model, "onnx").is_file():
        return _stored_onnx(model, int8=False)
    engine = OnnxRuntimeEngine(to_onnx(model.network, view_shapes(model.preprocessing)))
    _must_agree(engine, model)
    return engine


def _stored_onnx(model: EngineModel, *, int8: bool) -> Engine:
    path = _must_be_there(model, "onnx-int8" if int8 else "onnx")
    engine = OnnxRuntimeEngine(path, precision="int8" if int8 else "float32")
    check_record(read_record(engine.record, path), path, model, engine)
    return engine


def _must_be_there(model: EngineModel, kind: str) -> Path:
    path = stored_file(model, kind)
    if not path.is_file():
        target, _, int8 = kind.partition("-")
        command = f"fetal-monai export {model.folder} --to {target}" + (" --int8 IMAGES" if int8 else "")
        raise InputError(path, [f"there is no such file; make it: {command}"])
    return path


def _must_agree(engine: Engine, model: EngineModel) -> None:
    reference = EagerEngine(one_pass(model.network), features=True)
    found = compare(engine, reference, [probe(view_shapes(model.preprocessing))])
    if not found.within(FLOAT32):
        raise FetalMonaiError(f"the engine does not compute what PyTorch does ({found}); use --engine torch")
