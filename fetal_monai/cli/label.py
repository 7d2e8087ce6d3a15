"""`fetal-monai label`: the labelling server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fetal_monai.cli.released import RELEASED_BY_DEFAULT, model_folder


def label(
    *,
    studies: Annotated[str, typer.Option(help="A folder of DICOM and PNG files, or the URL of a DICOMweb service.")],
    model: Annotated[
        Path | None, typer.Option(help=f"The model folder to begin with, which is only read; {RELEASED_BY_DEFAULT}.")
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="For trained versions, logs, downloads; by default beside the model folder, or for the model that "
            "comes with fetal_monai ./fetal_planes-label."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine only; 0 takes a free one.")] = 8000,
    config: Annotated[list[Path] | None, typer.Option(help="Overlays for training, such as recipes.")] = None,
    bundle: Annotated[Path | None, typer.Option(help=f"A bundle of your own; {RELEASED_BY_DEFAULT}.")] = None,
) -> None:
    """Label images in the browser, helped by a model that learns from the labels: a MONAI Label server."""
    from fetal_monai.apps.label.server import serve  # noqa: PLC0415

    serve(studies, model_folder(model), workspace=workspace, port=port, bundle=bundle, overlays=config)
