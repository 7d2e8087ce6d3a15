"""`fetal-monai import-weights`: a checkpoint of the reference as a model of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fetal_monai.cli.released import RELEASED_BY_DEFAULT


def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the reference, such as best_model.pth.")],
    *,
    network: Annotated[str, typer.Option(help="A network of bundle/configs/networks, or an overlay file.")],
    out: Annotated[Path, typer.Option(help="The file to write; model.json, the facts, lands beside it.")],
    config: Annotated[list[Path] | None, typer.Option(help="More overlays, such as other classes.")] = None,
    bundle: Annotated[Path | None, typer.Option(help=f"A bundle of your own; {RELEASED_BY_DEFAULT}.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Turn a checkpoint of the reference implementation into a model of ours. Only tensors are read from it."""
    from fetal_monai.console import prepare_console  # noqa: PLC0415
    from fetal_monai.model.checkpoint_import import import_checkpoint  # noqa: PLC0415

    prepare_console()
    names = import_checkpoint(checkpoint, network, out, bundle=bundle, overlays=config or (), overwrite=overwrite)
    typer.echo(f"{out}: {network} with {len(names)} classes: {', '.join(names)}")
