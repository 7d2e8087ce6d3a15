"""Patients for a table that does not name them, from the headers of its images."""

from __future__ import annotations

from os import PathLike

import pandas as pd

from fetal_monai.data.file_facts import read_file_facts
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.errors import DicomReadError, InputError


def fill_patients(table: pd.DataFrame, folder: str | PathLike[str]) -> pd.DataFrame:
    """Fill in `patient_id` where it is empty or absent, with the digest of the file's PatientID.

    Args:
        table: with `SOPInstanceUID` and maybe `frame`, indexed by its rows in the file.
        folder: where the DICOM files are.

    Returns:
        The table with `patient_id`.

    Raises:
        InputError: with all rows whose file is missing, cannot be read or has no PatientID.
    """
    lookup = FileLookup(folder)
    patients = table["patient_id"].to_dict() if "patient_id" in table else dict.fromkeys(table.index, "")
    problems: list[str] = []
    for row, name in table["SOPInstanceUID"].items():
        if patients[row]:
            continue
        try:
            patients[row] = read_file_facts(lookup.file(name)).patient
        except (LookupError, DicomReadError) as error:
            problems.append(f"row {row}: {error}")
            continue
        if not patients[row]:
            problems.append(f"row {row}: the file of '{name}' has no PatientID either; fill in patient_id")
    if problems:
        raise InputError(folder, problems)
    return table.assign(patient_id=pd.Series(patients))
