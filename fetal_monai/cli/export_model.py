"""`fetal-monai export`: a model for other runtimes."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class _Target(str, Enum):
    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"


def export_model(
    model: Annotated[Path, typer.Argument(help="A model folder, as training writes it.")],
    *,
    to: Annotated[_Target, typer.Option(help="What for.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; by default MODEL/engines, where `predict` looks for it.")
    ] = None,
    int8: Annotated[
        list[Path] | None,
        typer.Option(
            help="Quantise to 8-bit integers by the images of this folder, 40 or more; not for torchscript. Repeatable."
        ),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Compare with PyTorch on these images; by default on made ones. Repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model for ONNX Runtime, OpenVINO or TorchScript, and check that it computes what PyTorch does.

    In go the views of the model's preprocessing, any number of images at a time; out come logits and the features that
    out-of-distribution scores are made of. The file names the model that it was made of. One that does not compute the
    same is not written.
    """
    from fetal_monai.console import prepare_console  # noqa: PLC0415
    from fetal_monai.inference.engines import export  # noqa: PLC0415

    prepare_console()
    made = export.export_model(model, to.value, out, images=check or (), int8=int8 or (), overwrite=overwrite)
    typer.echo(f"{made.path}: {made.parity}")
