"""The table of labels, for the de-identified files: new names, and no column that could tell an old one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import pandas as pd

from fetal_monai.data.annotations import COLUMNS, require_columns
from fetal_monai.data.row_problems import bare_uid
from fetal_monai.data.text_table import read_text_table
from fetal_monai.deidentify.instance_writer import Written
from fetal_monai.deidentify.pseudonyms import Pseudonyms


def read_labels(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a table of labels.

    Args:
        path: a CSV with SOPInstanceUID (or file names) and perhaps the other columns of annotations.csv.

    Returns:
        Its rows, all values as text.

    Raises:
        InputError: if it is not such a table.
    """
    table = read_text_table(path, COLUMNS)
    require_columns(path, table, ["SOPInstanceUID"])
    return table


def rename_labels(
    table: pd.DataFrame, written: Iterable[Written], pseudonyms: Pseudonyms
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Rename what a table of labels names.

    Args:
        table: of `read_labels`.
        written: the de-identified files.
        pseudonyms: that they have; `patient_id` gets the same as PatientID, wherever the two are the same.

    Returns:
        The columns of annotations.csv that the table has, for the rows whose file was written, and the others: their
        row in the file and the name in it.
    """
    new = _by_name(written)
    names = table["SOPInstanceUID"].map(lambda name: new.get(bare_uid(Path(name).name), ""))
    lost = table["SOPInstanceUID"][names == ""]
    missing = dict(zip(lost.index.tolist(), lost.tolist(), strict=True))
    renamed = table.assign(SOPInstanceUID=names)[[name for name in COLUMNS if name in table]]
    renamed = renamed[names != ""]
    if "patient_id" in renamed:
        patients = renamed["patient_id"].map(lambda old: pseudonyms.patient(old) if old else "")
        renamed = renamed.assign(patient_id=patients)
    return renamed, missing


def _by_name(written: Iterable[Written]) -> Mapping[str, str]:
    """New UIDs by file names and, where they are the same, rather by old UIDs."""
    files = list(written)
    by_file = {bare_uid(Path(one.source).name): one.uid for one in files}
    return by_file | {one.old_uid: one.uid for one in files}
