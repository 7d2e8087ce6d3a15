"""What is written of studies: of each its study.json, its page and DICOM; of all of them tables and an index."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pydicom import Dataset

from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import ModelIdentity, Prediction, ReadFailure
from fetal_monai.model.decisions import Decisions
from fetal_monai.results.folder import (
    PAGE_FILE,
    REPORTS_FOLDER,
    STUDIES_FILE,
    STUDIES_FOLDER,
    STUDY_FILE,
    write_results,
)
from fetal_monai.results.study_json import study_to_json
from fetal_monai.study.checklist import Checklist, Status, check
from fetal_monai.study.protocol import Protocol
from fetal_monai.study.study import Study
from fetal_monai.utils.files import write_json


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


class StudyWriter:
    """Writes studies into a folder that `results_folder` gave: one after another, then what is about all of them.

    Args:
        folder: where to.
        protocol: whose checklist is held against each study.
        several: whether there will be more than one; then each gets a folder of its own, named by its number.
        dicom: write a structured report and key objects of each.

    Attributes:
        rows: one for each study so far.
        predictions: of all studies.
        failures: likewise.
        reports: how many structured reports were written.
        without_report: how many studies have none because they are of pictures or name no study.
    """

    def __init__(self, folder: Path, protocol: Protocol, *, several: bool, dicom: bool) -> None:
        self._folder = folder
        self._protocol = protocol
        self._several = several
        self._dicom = dicom
        self.rows: list[StudyRow] = []
        self.predictions: list[Prediction] = []
        self.failures: list[ReadFailure] = []
        self.reports = 0
        self.without_report = 0

    def add(self, study: Study, headers: Mapping[str, Dataset] | None = None) -> None:
        """Write one study.

        Args:
            study: as it was analysed.
            headers: of its DICOM instances by SOP Instance UID; None reads them from the files.

        Raises:
            FetalMonaiError: if a report is wanted and a header lacks what it needs.
            OSError: if the folder cannot be written to.
        """
        checklist = check(study, self._protocol)
        self.predictions += study.predictions
        self.failures += study.failures
        number = len(self.rows) + 1
        page = ""
        if study.predictions:
            place = f"{STUDIES_FOLDER}/{number}/" if self._several else ""
            page = f"{place}{PAGE_FILE}"
            (self._folder / place).mkdir(parents=True, exist_ok=True)
            write_json(study_to_json(study, checklist), self._folder / place / STUDY_FILE)
            if self._dicom:
                self._write_dicom(study, headers)
        self.rows.append(_row(number, study, checklist, page))

    def finish(self, failures: Sequence[ReadFailure], identity: ModelIdentity, decisions: Decisions) -> None:
        """Write what is about all studies.

        Args:
            failures: of files that are in no study.
            identity: of the model.
            decisions: its calibration and thresholds.

        Raises:
            InputError: if nothing at all could be read.
            OSError: if the folder cannot be written to.
        """
        self.failures = [*failures, *self.failures]
        if not self.predictions:
            raise InputError("input", [failure.message for failure in self.failures])
        write_results(self._folder, self.predictions, self.failures, identity, decisions)
        with (self._folder / STUDIES_FILE).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [field.name for field in fields(StudyRow)])
            table.writeheader()
            table.writerows({**asdict(row), "name": _as_text(row.name)} for row in self.rows)

    def _write_dicom(self, study: Study, headers: Mapping[str, Dataset] | None) -> None:
        from fetal_monai.results.structured_report import build_reports, write_report  # noqa: PLC0415  # it is heavy

        if study.files.study_instance_uid is None:
            self.without_report += 1
            return
        for report in build_reports(study.predictions, headers):
            write_report(report, self._folder / REPORTS_FOLDER / f"{report.SOPInstanceUID}.dcm")
            self.reports += 1


def _row(number: int, study: Study, checklist: Checklist, page: str) -> StudyRow:
    return StudyRow(
        study=number,
        name=study.files.name,
        study_instance_uid=study.files.study_instance_uid or "",
        report=page,
        stills=len(study.stills),
        clips=len(study.clips),
        found=checklist.count(Status.FOUND),
        uncertain=checklist.count(Status.UNCERTAIN),
        missing=checklist.count(Status.MISSING),
        not_assessable=checklist.count(Status.NOT_ASSESSABLE),
        failures=len(study.failures),
    )


def _as_text(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
