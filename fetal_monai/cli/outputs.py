"""What a command writes beside its words on the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from fetal_monai.errors import InputError


def write_outputs(
    content: Callable[[], Mapping[str, Any]], json: Path | None, page: Path | None, write_page: Callable[[Path], Path]
) -> None:
    """Write what was asked for, and say where the page is.

    Args:
        content: gives all of it, as JSON takes it.
        json: the file to write; None: none.
        page: likewise, of the page to look at.
        write_page: writes it.

    Raises:
        InputError: if one of them cannot be written.
    """
    from fetal_monai.utils.files import write_json  # noqa: PLC0415

    try:
        if json is not None:
            write_json(content(), json)
        if page is not None:
            typer.echo(f"{write_page(page)}: to look at")
    except OSError as error:
        problem = f"cannot be written ({error.strerror}); name another file"
        raise InputError(error.filename or "the output", [problem]) from None
