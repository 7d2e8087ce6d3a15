"""What can be wrong with the rows of an annotation table, each said with its row and its remedy."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import OTHER_CLASSES

SPLITS = ("train", "val", "test")

Problem = tuple[int, str]
"""Row in the file (0: the file as a whole) and what is wrong with it."""

_FLOAT = re.compile(r"(-?\d+)[.,]0*")
_EXPONENT = re.compile(r"\d+([.,]\d+)?E\+?\d+", re.IGNORECASE)


def composed(name: str) -> str:
    r"""Write letters with accents as one character each (Unicode NFC): macOS takes them apart, and they look the same.

    Example:
        >>> composed("Fe\u0301mur") == "F\u00e9mur"
        True
    """
    return unicodedata.normalize("NFC", name)


def is_frame(text: str) -> bool:
    """Whether a text is the number of a frame: -1, 0, 1, ...

    Example:
        >>> is_frame("-1"), is_frame("7"), is_frame("7.0")
        (True, True, False)
    """
    return text == str(STILL) or (text.isascii() and text.isdigit())


def is_name(text: str) -> bool:
    """Whether a text can name an image: it is not empty, nor a UID that a spreadsheet took for a number.

    Example:
        >>> is_name("2.25.188"), is_name("1.2E+30"), is_name("")
        (True, False, False)
    """
    return bool(text) and _EXPONENT.fullmatch(text) is None


def label_problems(table: pd.DataFrame, class_names: Sequence[str]) -> list[Problem]:
    """Check names, splits, classes and frames, each row by itself.

    Args:
        table: of `read_annotations`.
        class_names: the classes in order.

    Returns:
        All problems.
    """
    index = {name: position for position, name in enumerate(class_names)}
    problems = split_problems(table)
    for row, name, number in table[["row", "class", "class_int"]].itertuples(index=False):
        if name not in index:
            problems.append((row, class_problem(name, class_names)))
        elif number != str(index[name]):
            text = f"class_int {number!r} disagrees with class '{name}', which is {index[name]}{_spreadsheet(number)}"
            problems.append((row, text))
    return problems


def class_problem(name: str, class_names: Sequence[str]) -> str:
    """Say that a class is unknown, and which one may be meant.

    Example:
        >>> print(class_problem("femur", ["Femur", "Other"]).split("; ")[1])
        did you mean Femur? correct it, or train a model of your own for other classes (README, 'Your own data')
    """
    known = ", ".join(class_names)
    meant = _meant(name, class_names)
    return f"class '{name}' is not in the list of classes ({known}); {meant}correct it, or {OTHER_CLASSES}"


def split_problems(table: pd.DataFrame) -> list[Problem]:
    """Check names, frames and splits.

    Args:
        table: of `read_annotations`.

    Returns:
        All problems, of splits one for each spelling.
    """
    problems: list[Problem] = []
    unknown: dict[str, list[int]] = {}
    for row, name, frame, split in table[["row", "SOPInstanceUID", "frame", "split"]].itertuples(index=False):
        problems += address_problems(row, name, frame)
        if split not in SPLITS:
            unknown.setdefault(split, []).append(row)
    for split, rows in unknown.items():
        many = f" (in {len(rows)} rows, this is the first)" if len(rows) > 1 else ""
        meant = next((name for name in SPLITS if split and name.startswith(split.casefold()[:3])), None)
        hint = f"did you mean {meant}? " if meant else ""
        problems.append((rows[0], f"split '{split}' is unknown{many}; {hint}use {', '.join(SPLITS)}"))
    return problems


def address_problems(row: int, name: str, frame: str) -> list[Problem]:
    """Check what names the image.

    Args:
        row: in the file.
        name: SOPInstanceUID or file name.
        frame: number of the frame, as text.

    Returns:
        What is wrong with either.

    Example:
        >>> print(address_problems(2, "2.25.1", "3,0")[0][1])
        frame '3,0' is no frame number (a spreadsheet made it a decimal: write 3); use -1 for a still, else 0, 1, ...
    """
    problems: list[Problem] = []
    if not name:
        problems.append((row, "SOPInstanceUID is empty; name the file or remove the row"))
    elif not is_name(name):
        text = (
            f"SOPInstanceUID '{name}' is a number in scientific notation: a spreadsheet has rounded the UID, and its "
            "digits are lost; take the column from the original file again, imported as text"
        )
        problems.append((row, text))
    if not is_frame(frame):
        hint = _spreadsheet(frame)
        problems.append((row, f"frame '{frame}' is no frame number{hint}; use -1 for a still, else 0, 1, ..."))
    return problems


def empty_splits(table: pd.DataFrame, splits: Iterable[str]) -> list[Problem]:
    """Name the splits that are needed and have no row."""
    present = set(table["split"])
    return [(0, f"split '{split}' is empty; give some rows split={split}") for split in splits if split not in present]


def repeated_images(table: pd.DataFrame, paths: Mapping[int, str]) -> list[Problem]:
    """Find images that stand in two rows, whatever names them there.

    Args:
        table: of `read_annotations`.
        paths: row in the file to path, of `find_files`. Rows without one have no image that could be repeated.

    Returns:
        A problem for each row but the first.
    """
    found = table[table["row"].isin(paths)]
    numbers: dict[str, int] = {}  # a path need not be UTF-8, which pandas asks of text
    files = [numbers.setdefault(paths[row], len(numbers)) for row in found["row"]]
    # Frame 0 and -1 address the same image of a still.
    frames = found["frame"].astype(int).clip(lower=0)
    keys = pd.DataFrame({"file": files, "frame": frames}, index=found.index)
    twice = found[keys.duplicated(keep=False)]  # of a million rows a few: groups of one take a minute
    problems: list[Problem] = []
    for _, same in twice.groupby([keys["file"], keys["frame"]], sort=False):
        first, *others = same[["row", "split", "class"]].itertuples(index=False)
        problems += [
            (other[0], f"the same image stands in row {first[0]} ({first[1]}, {first[2]}); keep one of the two")
            for other in others
        ]
    return problems


def patients_in_two_splits(table: pd.DataFrame) -> list[Problem]:
    """Find patients that stand in two splits, by the column `patient_id`, where it is not empty."""
    problems: list[Problem] = []
    named = table[(table["patient_id"] != "") & table["split"].isin(SPLITS)]
    for patient, rows in named.groupby("patient_id", sort=False):
        home = rows.iloc[0]
        elsewhere = rows[rows["split"] != home["split"]]
        if len(elsewhere):
            stray = elsewhere.iloc[0]
            text = (
                f"patient '{patient}' is in {stray['split']} here and in {home['split']} in row {home['row']}; "
                "keep each patient in one split (or set allow_patient_overlap and distrust the metrics)"
            )
            problems.append((stray["row"], text))
    return problems


def _meant(name: str, class_names: Sequence[str]) -> str:
    folded = {known.casefold(): known for known in class_names}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"did you mean {folded[close[0]]}? " if close else ""


def _spreadsheet(number: str) -> str:
    decimal = _FLOAT.fullmatch(number)
    return f" (a spreadsheet made it a decimal: write {decimal[1]})" if decimal else ""
