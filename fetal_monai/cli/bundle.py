"""`fetal-monai bundle`: a copy of the bundle to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bundle(out: Annotated[Path, typer.Argument(help="The folder to make: configs/, docs/.")]) -> None:
    """Write a copy of the MONAI Bundle to edit: the configurations of training, evaluation and inference."""
    from fetal_monai.utils.bundle import copy_bundle  # noqa: PLC0415

    configs = copy_bundle(out) / "configs"
    typer.echo(f"python -m monai.bundle run training --config_file {configs / 'train.yaml'} --dataset_dir DATA")
