"""ONNX Runtime: from an exported file, or from an export into memory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fetal_monai.errors import InputError
from fetal_monai.inference.engines.engine import require
from fetal_monai.inference.engines.graph import LogitsAndFeatures, ViewShapes, probe
from fetal_monai.inference.engines.record import KEY

OUTPUTS = ("logits", "features")


class OnnxRuntimeEngine:
    """An ONNX model on the CPU, on as many threads as PyTorch has.

    Args:
        model: the file, or its bytes.
        precision: what predictions record of it.

    Attributes:
        record: what the file says of the model that it is of, as text; None: nothing.

    Raises:
        InputError: if it is no ONNX file, or damaged.
        FetalMonaiError: if ONNX Runtime is not installed.
    """

    def __init__(self, model: Path | bytes, *, precision: str = "float32") -> None:
        require("onnxruntime")
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the processors, too
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has many kinds, and no common one but this
            place = "model.onnx" if isinstance(model, bytes) else model
            raise InputError(place, ["it is no ONNX file, or it is damaged; export the model again"]) from error
        self.name = f"ONNX Runtime {onnxruntime.__version__}, {precision}"
        self.lanes = 1
        self.record: str | None = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self._inputs = [port.name for port in self._session.get_inputs()]

    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Classify; see `Engine.forward`.

        Args:
            batch: the views.
        """
        feed = {name: view.numpy() for name, view in zip(self._inputs, batch, strict=True)}
        logits, features = map(torch.from_numpy, self._session.run(OUTPUTS, feed))
        return logits, features


def to_onnx(network: torch.nn.Module, views: ViewShapes) -> bytes:
    """Export a network.

    Args:
        network: as `LogitsAndFeatures` takes it.
        views: the shape of each view.

    Returns:
        The file's content: inputs by the views' names, for any number of images.

    Raises:
        FetalMonaiError: if the network is of another make, or onnx or onnxscript is not installed.
    """
    require("onnx", "onnxscript")
    batch = torch.export.Dim("batch")
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its ways
        quiet.setLevel(logging.ERROR)
        try:
            program: Any = torch.onnx.export(
                LogitsAndFeatures(network),
                tuple(probe(views)),
                input_names=list(views),
                output_names=list(OUTPUTS),
                dynamic_shapes=tuple({0: batch} for _ in views),
                dynamo=True,
                verbose=False,
            )
        finally:
            quiet.setLevel(level)
    content: bytes = program.model_proto.SerializeToString()
    return content


def with_record(content: bytes, record: str) -> bytes:
    """Say in a file's metadata which model it is of.

    Args:
        content: of an ONNX file.
        record: as text.

    Returns:
        The content with it.
    """
    require("onnx")
    import onnx  # noqa: PLC0415

    found = onnx.load_from_string(content)
    onnx.helper.set_model_props(found, {KEY: record})
    stamped: bytes = found.SerializeToString()
    return stamped
