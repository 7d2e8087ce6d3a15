"""The model that is meant where none is named."""

from __future__ import annotations

from pathlib import Path

import typer

from fetal_monai.model.released_model import released_model, released_notice

RELEASED_BY_DEFAULT = "by default the one that comes with fetal_monai"


def model_folder(named: Path | None) -> Path:
    """Give the model folder that is meant; the released one is announced beside what goes to stdout.

    Args:
        named: by the user.

    Returns:
        The folder.

    Raises:
        InputError: if none is named and this installation has none.
    """
    if named is not None:
        return named
    folder = released_model()
    typer.echo(released_notice(), err=True)
    return folder
