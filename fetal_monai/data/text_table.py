"""A table as text files really come: saved by any spreadsheet, in any of the usual encodings, with any separator."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections.abc import Collection
from os import PathLike
from pathlib import Path

import pandas as pd

from fetal_monai.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
_AS_CSV = "save it as 'CSV UTF-8'"
_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FORMATS = (
    (b"PK\x03\x04", "an Excel or OpenDocument workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF"),
)
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line

logger = logging.getLogger(__name__)


def read_text_table(path: str | PathLike[str], known: Collection[str]) -> pd.DataFrame:
    r"""Read a table of text: separator and encoding are found out, nothing is converted.

    UTF-8 with or without a byte order mark, UTF-16, UTF-32 and Windows-1252 (and so Latin-1); commas, semicolons,
    tabs or bars, whichever makes the header name most of the known columns. Blanks around names and values go, and so
    do blank rows.

    Args:
        path: the file.
        known: names of columns to tell the separator by.

    Returns:
        The table, all values as text (absent ones are ""). The index is the row in the file, as a spreadsheet counts:
        the header is row 1.

    Raises:
        InputError: if the file is missing, empty, no such text, or has rows with more values than columns.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "table.csv")
        >>> _ = path.write_bytes("class ;split\r\nFemur;train\r\n".encode("utf-16"))
        >>> read_text_table(path, ["class", "split"]).to_dict("index")
        {2: {'class': 'Femur', 'split': 'train'}}
    """
    text = _decode(path)
    separator = _separator(text, known)
    try:
        rows = list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1))
    except csv.Error as error:
        raise InputError(path, [f"not a readable CSV ({error}); is a quotation mark left open? {_AS_CSV}"]) from None
    rows = [(number, [value.strip() for value in row]) for number, row in rows if any(value.strip() for value in row)]
    if rows and _SEPARATOR_LINE.fullmatch(separator.join(rows[0][1])):
        rows = rows[1:]
    if not rows:
        raise InputError(path, ["the file is empty; write a header and a row for each image"])
    (_, header), *body = rows
    columns = _columns(path, header, known)
    _refuse_longer(path, body, columns, separator)
    values = [row[: len(columns)] + [""] * (len(columns) - len(row)) for _, row in body]
    table = pd.DataFrame(values, columns=columns, index=pd.Index([number for number, _ in body], name="row"), dtype=str)
    unnamed = [name for name, given in zip(columns, header, strict=True) if not given and not table[name].any()]
    return table.drop(columns=unnamed)


def _decode(path: str | PathLike[str]) -> str:
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, ["there is no such file; check its folder and name, or give another CSV"]) from None
    except OSError as error:
        raise InputError(path, [f"cannot be read ({error.strerror}); give a CSV file that you may read"]) from None
    for magic, what in _OTHER_FORMATS:
        if raw.startswith(magic):
            raise InputError(path, [f"this is {what}, not a CSV; open it and {_AS_CSV}"])
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), None) or _unmarked(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        problem = f"neither UTF-8 nor Windows-1252 text, nor the {encoding} that it looks like; {_AS_CSV}"
        raise InputError(path, [problem]) from None
    if "\0" in text:
        raise InputError(path, [f"it holds zero bytes, so it is no text, or is damaged; {_AS_CSV}"])
    if encoding == "cp1252":
        logger.warning("%s is not UTF-8 and was read as Windows-1252; if letters are wrong, %s", path, _AS_CSV)
    return text


def _unmarked(raw: bytes) -> str:
    """The encoding of text without a mark. A header of plain letters in UTF-16 is zero in every second byte."""
    head = raw[:64]
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) >= 4 and not any(head[start::2]) and all(head[1 - start :: 2]):
            return name
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(text: str, known: Collection[str]) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    if given := _SEPARATOR_LINE.fullmatch(first):
        return given[1]
    names = {name.casefold() for name in known}

    def recognised(separator: str) -> int:
        return sum(cell.strip().casefold() in names for cell in next(csv.reader([first], delimiter=separator), []))

    return max(SEPARATORS, key=recognised)  # the first of equals, which is the comma


def _columns(path: str | PathLike[str], header: list[str], known: Collection[str]) -> list[str]:
    """Their names, each once, as pandas would tell them apart."""
    twice = [name for name in known if header.count(name) > 1]
    if twice:
        raise InputError(path, [f"row 1: column '{name}' stands there twice; remove one" for name in twice])
    columns: list[str] = []
    for number, given in enumerate(header):
        name = given or f"Unnamed: {number}"
        suffix = 0
        while name in columns:
            suffix += 1
            name = f"{given}.{suffix}"
        columns.append(name)
    return columns


def _refuse_longer(
    path: str | PathLike[str], body: list[tuple[int, list[str]]], columns: list[str], separator: str
) -> None:
    """Refuse rows of too many values, and name those of too few with them: alone they are blanks at the end."""
    width = len(columns)
    named = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(separator, separator)
    longer = [
        f"row {number}: {len(row)} values for {width} columns; put quotation marks around a value with a {named} in it"
        + (", and write 12, not 12,0" if separator == "," else "")
        for number, row in body
        if any(row[width:])
    ]
    if longer:
        filled = width - sum(name.startswith("Unnamed: ") for name in columns)
        shorter = [
            f"row {number}: {len(row)} of {width} values; separate the empty ones, too"
            for number, row in body
            if len(row) < filled
        ]
        raise InputError(path, longer + shorter)
