"""From 32-bit floats to 8-bit integers: an ONNX file calibrated on images, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from fetal_monai.inference.engines.engine import require

LEAST_IMAGES = 40
"""Half of them calibrate, the other half say what it costs."""


def quantise(content: bytes, batches: Iterable[Sequence[torch.Tensor]], *, results: bool = True) -> bytes:
    """Quantise the convolutions of an ONNX file after training: 8-bit weights per channel, 8-bit activations.

    The head and everything else stays in 32-bit floats.

    Args:
        content: of a file in float32, from `to_onnx`.
        batches: of views, from which the range of each activation is taken.
        results: whether what a convolution gives is quantised before its activation function, too. ONNX Runtime's
            convolutions of integers need it. OpenVINO's compute the function on the way, in floats, and without it are
            nearly twice as fast in a network of SiLU, and more exact.

    Returns:
        The content of the quantised file (QDQ format), without metadata.

    Raises:
        FetalMonaiError: if onnx or onnxruntime is not installed.
    """
    require("onnx", "onnxruntime")
    import onnx  # noqa: PLC0415
    from onnxruntime import quantization  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    names = [port.name for port in onnx.load_from_string(content).graph.input]
    feeds = ({name: view.numpy() for name, view in zip(names, batch, strict=True)} for batch in batches)

    class Images(quantization.CalibrationDataReader):
        """The batches, as ONNX Runtime asks for them."""

        def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
            self.rows = rows

        def get_next(self) -> dict[str, Any] | None:
            """Give the next batch; None: that was all."""
            return next(self.rows, None)

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on the root logger to do what has been done
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain, prepared, small = (Path(folder, f"{name}.onnx") for name in ("plain", "prepared", "small"))
            plain.write_bytes(content)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                small,
                Images(feeds),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                op_types_to_quantize=["Conv", "Add", "MatMul"],
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={} if results else {"OpTypesToExcludeOutputQuantization": ["Conv"]},
            )
            found = onnx.load(small)
    finally:
        root.setLevel(level)
    quantised: bytes = found.SerializeToString()
    return quantised
