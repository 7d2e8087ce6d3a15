"""What a command writes beside its words on the console."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from fetal_monai.errors import InputError


def say_counts(counts: Iterable[tuple[int, str]]) -> None:
    """Say how many there are of each, of what there are any.

    Args:
        counts: a number, and what it counts.

    Example:
        >>> say_counts([(2, "files passed over"), (0, "reports")])
        2 files passed over
    """
    for count, what in counts:
        if count:
            typer.echo(f"{count} {what}")


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

    if json is not None:
        with _named(json):
            write_json(content(), json)
    if page is not None:
        with _named(page):
            typer.echo(f"{write_page(page)}: to look at")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file that was asked for, and not the temporary one beside it."""
    try:
        yield
    except OSError as error:
        raise InputError(path, [f"cannot be written ({error.strerror}); name another file"]) from None
