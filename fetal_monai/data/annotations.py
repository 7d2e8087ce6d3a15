"""The CSV of labels: read, checked as a whole against classes and files, and turned into MONAI data lists."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.dicom import FrameRef
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import OTHER_CLASSES, InputError

REQUIRED_COLUMNS = ("SOPInstanceUID", "split", "class", "class_int", "frame")
SPLITS = ("train", "val", "test")
FIRST_ROW = 2  # row 1 of the file is the header, as a spreadsheet counts

Problem = tuple[int, str]  # row in the file (0: the file as a whole) and what is wrong with it

logger = logging.getLogger(__name__)


def read_annotations(path: str | PathLike[str]) -> pd.DataFrame:
    r"""Read the CSV of arXiv 2506.08623: one row per labelled image, all values as text.

    Args:
        path: a comma-separated file with the columns `SOPInstanceUID, split, class, class_int, frame` in any order;
            further columns (`patient_id` is understood) are kept.

    Returns:
        The table with a column `row`, the line in the file for messages.

    Raises:
        InputError: if the file is missing, empty, not a CSV, or lacks a column.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "annotations.csv")
        >>> _ = path.write_text("SOPInstanceUID,split,class,class_int,frame\n1.2.3,train,Femur,0,-1\n")
        >>> read_annotations(path).loc[0, "class"]
        'Femur'
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(path, ["there is no such file; pass --dataset_dir or --annotations"]) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        problem = f"not a readable CSV ({str(error).strip()}); save it as comma-separated UTF-8 text"
        raise InputError(path, [problem]) from None
    table.columns = table.columns.str.strip()
    missing = [column for column in REQUIRED_COLUMNS if column not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise InputError(
            path, [f"row 1: column '{column}' is missing; the file has: {found}; add it" for column in missing]
        )
    for column in table.columns:
        table[column] = table[column].str.strip()
    table["row"] = range(FIRST_ROW, FIRST_ROW + len(table))
    return table


def load_datalists(
    annotations: str | PathLike[str],
    dicom_dir: str | PathLike[str],
    class_names: Sequence[str],
    *,
    splits: Iterable[str] = ("train", "val"),
    allow_patient_overlap: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """Turn the CSV of labels into MONAI data lists, after checking every row, whatever its split.

    Files are found by name (`SOPInstanceUID` with or without `.dcm`) or by the SOPInstanceUID in their headers, at
    any depth below `dicom_dir`.

    Args:
        annotations: the CSV, see `read_annotations`.
        dicom_dir: the folder with the DICOM files.
        class_names: the classes in order; `class_int` is the index into it.
        splits: splits that must not be empty.
        allow_patient_overlap: accept a `patient_id` in two splits, which inflates every metric.

    Returns:
        For each of train, val and test a list of items with `image` (a `FrameRef`), `label` (int), `class`,
        `SOPInstanceUID`, `frame` (int) and `patient_id` (empty if the CSV has none).

    Raises:
        InputError: with all problems at once: unknown splits and classes, a `class_int` that disagrees, missing
            files, frames out of range, an image or patient in two splits, empty splits.
    """
    table = read_annotations(annotations)
    if "patient_id" not in table:
        logger.warning(
            "%s has no column patient_id: splits cannot be checked for patients that stand in two of them", annotations
        )
        table["patient_id"] = ""
    problems = [*_label_problems(table, class_names), *_split_problems(table, splits)]
    problems += _overlap_problems(table, allow_patient_overlap=allow_patient_overlap)
    paths, missing = _find_files(table, dicom_dir)
    problems += missing
    if problems:
        ordered = sorted(problems, key=lambda problem: problem[0])
        raise InputError(annotations, [f"row {row}: {text}" if row else text for row, text in ordered])
    items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record in table.to_dict("records"):
        frame = int(record["frame"])
        items[record["split"]].append(
            {
                "image": FrameRef(paths[record["row"]], frame),
                "label": int(record["class_int"]),
                "class": record["class"],
                "SOPInstanceUID": _uid(record["SOPInstanceUID"]),
                "frame": frame,
                "patient_id": record["patient_id"],
            }
        )
    return items


def class_counts(items: Iterable[dict[str, Any]], class_names: Sequence[str]) -> list[int]:
    """Count the images of each class, absent classes included.

    Args:
        items: a data list.
        class_names: the classes in order.

    Returns:
        One count per class.

    Example:
        >>> class_counts([{"label": 0}, {"label": 2}, {"label": 0}], ["a", "b", "c"])
        [2, 0, 1]
    """
    counts = [0] * len(class_names)
    for item in items:
        counts[item["label"]] += 1
    return counts


def _find_files(table: pd.DataFrame, folder: str | PathLike[str]) -> tuple[dict[int, str], list[Problem]]:
    lookup = FileLookup(folder)
    paths: dict[int, str] = {}
    problems: list[Problem] = []
    for row, name, frame in table[["row", "SOPInstanceUID", "frame"]].itertuples(index=False):
        if not name or not _is_frame(frame):
            continue  # reported with the labels
        try:
            paths[row] = lookup.find(name, int(frame))
        except LookupError as error:
            problems.append((row, str(error)))
    return paths, problems


def _uid(name: str) -> str:
    return Path(name).name.removesuffix(".dcm")


def _label_problems(table: pd.DataFrame, class_names: Sequence[str]) -> list[Problem]:
    index = {name: position for position, name in enumerate(class_names)}
    problems: list[Problem] = []
    for record in table.to_dict("records"):
        row, name, number = record["row"], record["class"], record["class_int"]
        if not record["SOPInstanceUID"]:
            problems.append((row, "SOPInstanceUID is empty; name the file or remove the row"))
        if record["split"] not in SPLITS:
            problems.append((row, f"split '{record['split']}' is unknown; use {', '.join(SPLITS)}"))
        if name not in index:
            known = ", ".join(class_names)
            problems.append(
                (row, f"class '{name}' is not in the list of classes ({known}); correct it, or {OTHER_CLASSES}")
            )
        elif number != str(index[name]):
            problems.append((row, f"class_int {number!r} disagrees with class '{name}', which is {index[name]}"))
        if not _is_frame(record["frame"]):
            problems.append((row, f"frame '{record['frame']}' is no frame number; use -1 for a still, else 0, 1, ..."))
    return problems


def _is_frame(text: str) -> bool:
    return text == str(STILL) or (text.isascii() and text.isdigit())


def _split_problems(table: pd.DataFrame, splits: Iterable[str]) -> list[Problem]:
    present = set(table["split"])
    return [(0, f"split '{split}' is empty; give some rows split={split}") for split in splits if split not in present]


def _overlap_problems(table: pd.DataFrame, *, allow_patient_overlap: bool) -> list[Problem]:
    problems: list[Problem] = []
    # Frame 0 and -1 address the same image of a still.
    frames = table["frame"].where(table["frame"] != str(STILL), "0")
    for _, same in table.groupby([table["SOPInstanceUID"].map(_uid), frames], sort=False):
        if len(same) > 1:
            first, *others = same[["row", "split", "class"]].itertuples(index=False)
            problems += [
                (other[0], f"the same image stands in row {first[0]} ({first[1]}, {first[2]}); keep one of the two")
                for other in others
            ]
    if not allow_patient_overlap:
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
