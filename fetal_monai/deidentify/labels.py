"""The table of labels, for the de-identified files: new names, and no column that could tell an old one."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

import pandas as pd

from fetal_monai.data.annotations import COLUMNS, require_columns
from fetal_monai.data.file_lookup import FileLookup
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
    table: pd.DataFrame, lookup: FileLookup, written: Iterable[Written], pseudonyms: Pseudonyms
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Rename what a table of labels names.

    Args:
        table: of `read_labels`.
        lookup: of the source, all of it: a name that several files have is that of none, whichever were written.
        written: the de-identified files.
        pseudonyms: that they have; `patient_id` gets the same as PatientID, wherever the two are the same.

    Returns:
        The columns of annotations.csv that the table has, for the rows whose file was written, and the others: their
        row in the file and what is wrong with it.
    """
    new = {one.source: one.uid for one in written}
    names: dict[int, str] = {}
    lost: dict[int, str] = {}
    for row, name in zip(table.index.tolist(), table["SOPInstanceUID"], strict=True):
        try:
            source = lookup.file(name)
        except LookupError as error:
            lost[row] = str(error)
            continue
        if source in new:
            names[row] = new[source]
        else:
            lost[row] = f"{name}: its file was not written"
    renamed = table.loc[list(names), [name for name in COLUMNS if name in table]]
    renamed = renamed.assign(SOPInstanceUID=pd.Series(names, dtype=str))
    if "patient_id" in renamed:
        patients = renamed["patient_id"].map(lambda old: pseudonyms.patient(old) if old else "")
        renamed = renamed.assign(patient_id=patients)
    return renamed, lost
