"""What is written of each study: study.json, its page, DICOM; and one table and one page of all studies."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fetal_monai.results.folder import STUDIES_FILE
from fetal_monai.study.checklist import Checklist, Status
from fetal_monai.study.study import Study


@dataclass(frozen=True)
class StudyRow:
    """One row of studies.csv.

    Args:
        study: its number, from 1.
        name: of its folder.
        study_instance_uid: empty for pictures.
        report: its page, relative to the folder of results; empty where nothing of it could be read.
        stills: classified.
        clips: classified.
        found: items of the checklist, by status.
        uncertain: likewise.
        missing: likewise.
        not_assessable: likewise.
        failures: files that could not be read, wholly or in part.
    """

    study: int
    name: str
    study_instance_uid: str
    report: str
    stills: int
    clips: int
    found: int
    uncertain: int
    missing: int
    not_assessable: int
    failures: int


def study_row(number: int, study: Study, checklist: Checklist, report: str) -> StudyRow:
    """Sum a study up.

    Args:
        number: from 1.
        study: as it was analysed.
        checklist: a protocol held against it.
        report: its page.

    Returns:
        The row.
    """
    return StudyRow(
        study=number,
        name=study.files.name,
        study_instance_uid=study.files.study_instance_uid or "",
        report=report,
        stills=len(study.stills),
        clips=len(study.clips),
        found=checklist.count(Status.FOUND),
        uncertain=checklist.count(Status.UNCERTAIN),
        missing=checklist.count(Status.MISSING),
        not_assessable=checklist.count(Status.NOT_ASSESSABLE),
        failures=len(study.failures),
    )


def write_studies_table(rows: Sequence[StudyRow], folder: Path) -> None:
    """Write studies.csv.

    Args:
        rows: one a study.
        folder: where to.
    """
    with (folder / STUDIES_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(StudyRow)])
        writer.writeheader()
        writer.writerows({**asdict(row), "name": _as_text(row.name)} for row in rows)


def _as_text(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
