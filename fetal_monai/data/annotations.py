"""The CSV of labels: read, checked as a whole against classes and files, and turned into MONAI data lists."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.data.image_names import image_name
from fetal_monai.data.row_problems import (
    SPLITS,
    Problem,
    composed,
    empty_splits,
    is_frame,
    is_name,
    label_problems,
    patients_in_two_splits,
    repeated_images,
)
from fetal_monai.data.soft_labels import SOFT_LABEL, soft_columns, soft_label, soft_label_problems
from fetal_monai.data.text_table import read_text_table
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import InputError

REQUIRED_COLUMNS = ("SOPInstanceUID", "split", "class", "class_int", "frame")
FILE_COLUMN = "file"
COLUMNS = (*REQUIRED_COLUMNS, FILE_COLUMN, "patient_id")
_OTHER_NAMES = {  # what such columns are called elsewhere
    "SOPInstanceUID": ("sop_instance_uid", "uid", "filename", "file_name", "image", "image_name"),
    "class": ("label", "plane", "category", "class_name"),
    "class_int": ("label_int", "class_id", "label_id", "class_index"),
    "frame": ("frame_number", "frame_index"),
    "patient_id": ("patientid", "patient", "pat", "patient_num"),
    "split": ("set", "subset", "partition"),
}

logger = logging.getLogger(__name__)


def read_annotations(path: str | PathLike[str]) -> pd.DataFrame:
    r"""Read the CSV of arXiv 2506.08623: one row per labelled image, all values as text.

    Args:
        path: a table with the columns `SOPInstanceUID, split, class, class_int, frame` in any order; further columns
            (`patient_id` and probabilities are understood, see `load_datalists`) are kept. Separators and encodings
            are those of `read_text_table`.

    Returns:
        The table with a column `row`, the line in the file for messages. A column `file`, the path of a PNG or JPEG
        below the data folder, stands for `SOPInstanceUID` in rows that fill it.

    Raises:
        InputError: if the file is missing, empty, not such a table, or lacks a column.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "annotations.csv")
        >>> _ = path.write_text("SOPInstanceUID,split,class,class_int,frame\n1.2.3,train,Femur,0,-1\n")
        >>> read_annotations(path).loc[0, "class"]
        'Femur'
    """
    table = read_text_table(path, COLUMNS)
    table = with_image_names(table)
    require_columns(path, table, REQUIRED_COLUMNS)
    table["class"] = table["class"].map(composed)
    table = table.rename(columns={column: composed(column) for column in soft_columns(table).values()})
    return table.assign(row=table.index).reset_index(drop=True)


def with_image_names(table: pd.DataFrame) -> pd.DataFrame:
    r"""Let the column `file`, where it is filled, name the image in `SOPInstanceUID`.

    Args:
        table: as it was read.

    Returns:
        The table; without a column `file` as it is.

    Example:
        >>> table = pd.DataFrame({"file": ["Femur\\1.png", ""], "SOPInstanceUID": ["", "1.2"]})
        >>> with_image_names(table)["SOPInstanceUID"].tolist()
        ['Femur/1.png', '1.2']
    """
    if FILE_COLUMN not in table:
        return table
    files = table[FILE_COLUMN].str.replace("\\", "/", regex=False)
    return table.assign(SOPInstanceUID=files.where(files != "", table.get("SOPInstanceUID", "")))


def require_columns(path: str | PathLike[str], table: pd.DataFrame, required: Iterable[str]) -> None:
    """Refuse a table that lacks columns, and say which of its own may be meant.

    Args:
        path: where it was read from.
        table: with the columns that there are.
        required: the columns that there must be.

    Raises:
        InputError: with a line for each that is missing.
    """
    found = ", ".join(map(str, table.columns))
    missing = [
        f"row 1: column '{column}' is missing; "
        + (f"rename '{meant}'" if (meant := _meant(column, table)) else f"the file has: {found}; add it")
        for column in required
        if column not in table.columns
    ]
    if missing:
        raise InputError(path, missing)


def _meant(column: str, table: pd.DataFrame) -> str | None:
    """The column of a table that is probably the one, under another name."""
    alike = {str(name).casefold(): str(name) for name in table.columns}
    return next((alike[name] for name in (column.casefold(), *_OTHER_NAMES.get(column, ())) if name in alike), None)


def load_datalists(
    annotations: str | PathLike[str],
    dicom_dir: str | PathLike[str],
    class_names: Sequence[str],
    *,
    splits: Iterable[str] = ("train", "val"),
    allow_patient_overlap: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """Turn the CSV of labels into MONAI data lists, after checking every row, whatever its split.

    Files are found by the SOPInstanceUID in their headers or by their path below `dicom_dir`, with or without `.dcm`;
    the file name is enough where only one file has it. Pictures are found by their path below it.

    Args:
        annotations: the CSV, see `read_annotations`.
        dicom_dir: the folder with the DICOM files or pictures.
        class_names: the classes in order; `class_int` is the index into it.
        splits: splits that must not be empty.
        allow_patient_overlap: accept a `patient_id` in two splits, which inflates every metric.

    Returns:
        For each of train, val and test a list of items with `image` (a `FrameRef`), `label` (int), `class`,
        `SOPInstanceUID` (as the CSV names the image, see `image_name`), `frame` (int), `patient_id` and `device`
        (empty if the CSV has none). Where the CSV has columns of probabilities (`p:Femur`, ...) also `soft_label`,
        (C,) float32: those of the row, or its class for sure.

    Raises:
        InputError: with all problems at once: unknown splits and classes, a `class_int` that disagrees, missing
            files, names that several files have, frames out of range, an image or patient in two splits, empty
            splits, probabilities that are none.
    """
    class_names = [composed(name) for name in class_names]
    table = read_annotations(annotations)
    if "patient_id" not in table:
        logger.warning(
            "%s has no column patient_id: splits cannot be checked for patients that stand in two of them", annotations
        )
        table["patient_id"] = ""
    problems = [*label_problems(table, class_names), *soft_label_problems(table, class_names)]
    problems += empty_splits(table, splits)
    if not allow_patient_overlap:
        problems += patients_in_two_splits(table)
    paths, missing = find_files(table, FileLookup(dicom_dir))
    problems += [*missing, *repeated_images(table, paths)]
    if problems:
        ordered = sorted(problems, key=lambda problem: problem[0])
        raise InputError(annotations, [f"row {row}: {text}" if row else text for row, text in ordered])
    columns = soft_columns(table)
    items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record in table.to_dict("records"):
        frame = int(record["frame"])
        items[record["split"]].append(
            {
                "image": FrameRef(paths[record["row"]], frame),
                "label": int(record["class_int"]),
                "class": record["class"],
                "SOPInstanceUID": image_name(record["SOPInstanceUID"]),
                "frame": frame,
                "patient_id": record["patient_id"],
                "device": record.get("device", ""),
            }
        )
        if columns:
            items[record["split"]][-1][SOFT_LABEL] = soft_label(record, columns, class_names)
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


def find_files(table: pd.DataFrame, lookup: FileLookup) -> tuple[dict[int, str], list[Problem]]:
    """Find the file of each row.

    Args:
        table: of `read_annotations`.
        lookup: of the folder with the DICOM files.

    Returns:
        Row in the file to path, and what is wrong with the rows that have none.
    """
    paths: dict[int, str] = {}
    problems: list[Problem] = []
    for row, name, frame in table[["row", "SOPInstanceUID", "frame"]].itertuples(index=False):
        if not is_name(name) or not is_frame(frame):
            continue  # reported with the labels
        try:
            paths[row] = lookup.find(name, int(frame))
        except LookupError as error:
            problems.append((row, str(error)))
    return paths, problems
