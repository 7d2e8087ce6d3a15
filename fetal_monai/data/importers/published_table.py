"""The CSV of a published archive: one format, known in advance, and a wrong one is another archive."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

from fetal_monai.data.importers.source import Source, read_table
from fetal_monai.errors import InputError


def find_table(source: Source, name: str, record: str) -> tuple[str, str]:
    """Find the table of an archive, at any depth.

    Args:
        source: the archive.
        name: of the table.
        record: number of the archive on Zenodo, for messages.

    Returns:
        The table's name in the source, and the folder that it lies in, with its slash, empty for the top.

    Raises:
        InputError: if there is none, or more than one.
    """
    found = [member for member in source.names if PurePosixPath(member).name == name]
    if len(found) != 1:
        what = "there is no" if not found else f"there are {len(found)} files called"
        raise InputError(source.path, [f"{what} {name}; give the archive of Zenodo {record}, or the folder it makes"])
    return found[0], found[0].removesuffix(name)


def read_rows(
    source: Source, table: str, columns: Sequence[str], delimiter: str, remedy: str
) -> list[tuple[int, dict[str, str]]]:
    """Read the table of an archive.

    Args:
        source: the archive.
        table: its name there.
        columns: that there must be; blanks around their names do not count.
        delimiter: between values.
        remedy: what to do about a table that is another.

    Returns:
        Rows with their line numbers; values without blanks around them.

    Raises:
        InputError: if it is no such table.
    """
    name = PurePosixPath(table).name
    try:
        text = read_table(source, table).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(source.path, [f"{name} is no CSV ({error}); {remedy}"]) from None
    header = [column.strip() for column in lines[0]] if lines else []
    lacking = [column for column in columns if column not in header]
    if lacking:
        found = ", ".join(header) or "none"
        raise InputError(
            source.path, [f"{name} has no column {column!r}, only: {found}; {remedy}" for column in lacking]
        )
    short = [number for number, line in enumerate(lines, 1) if line and len(line) != len(header)]
    if short:
        raise InputError(source.path, [f"{name} row {number}: not {len(header)} values; {remedy}" for number in short])
    return [
        (number, dict(zip(header, (value.strip() for value in line), strict=True)))
        for number, line in enumerate(lines[1:], 2)
        if line
    ]
