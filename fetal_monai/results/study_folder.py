"""What is written of studies: of each its study.json, its page and DICOM; of all of them tables and an index."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from pydicom import Dataset

from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.study_index import StudyRow, write_study_index
from fetal_monai.report.study_page import Explain, write_study_page
from fetal_monai.results.folder import (
    INDEX_FILE,
    KEY_OBJECTS_FOLDER,
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
class StudySummary:
    """One row of studies.csv.

    Args:
        study: its number, from 1.
        name: of its folder.
        study_instance_uid: empty for pictures.
        report: its page, relative to the folder of results; empty where nothing of it could be read.
        stills: classified.
        clips: classified.
        found: items of the checklist, by status; none of any where nothing could be read.
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
        several: whether there will be more than one; then each gets a folder of its own, named by its number, and there
            is an index.
        failures: of files that are in no study; told in the index, as are those of studies without a page, or by the
            only study.
        passed_over: file -> why it was not looked at; told in the index, or by the only study.
        dicom: write a structured report and key objects of each.
        explain: draws what spoke for the best images, see `StudyExplainer`; None draws nothing.

    Attributes:
        rows: one for each study so far.
        predictions: of all studies.
        failures: likewise.
        reports: how many structured reports were written.
        key_objects: how many selections of key objects were.
        without_report: how many studies have none because they are of pictures or name no study.
    """

    def __init__(
        self,
        folder: Path,
        protocol: Protocol,
        *,
        several: bool,
        failures: Sequence[ReadFailure] = (),
        passed_over: Mapping[str, str] | None = None,
        dicom: bool = False,
        explain: Explain | None = None,
    ) -> None:
        self._folder = folder
        self._protocol = protocol
        self._several = several
        self._dicom = dicom
        self._explain = explain
        self._outside = tuple(failures)
        self._passed_over = dict(passed_over or {})
        self.rows: list[StudySummary] = []
        self.predictions: list[Prediction] = []
        self.failures: list[ReadFailure] = list(failures) if several else []
        self.reports = 0
        self.key_objects = 0
        self.without_report = 0
        self._without_page: list[ReadFailure] = []

    def add(self, study: Study, headers: Mapping[str, Dataset] | None = None) -> None:
        """Write one study.

        Args:
            study: as it was analysed.
            headers: of its DICOM instances by SOP Instance UID; None reads them from the files.

        Raises:
            FetalMonaiError: if a report is wanted and a header lacks what it needs.
            OSError: if the folder cannot be written to.
        """
        if not self._several:
            files = replace(study.files, passed_over=self._passed_over)
            study = replace(study, files=files, failures=(*self._outside, *study.failures))
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
            write_study_page(study, checklist, self._folder / page, explain=self._explain)
            if self._dicom:
                self._write_dicom(study, checklist, headers)
        else:
            self._without_page += study.failures
        self.rows.append(_summary(number, study, checklist, page))

    def finish(self, predictor: Predictor) -> None:
        """Write what is about all studies.

        Args:
            predictor: the model that looked at them.

        Raises:
            InputError: if nothing at all could be read: then all failures.
            OSError: if the folder cannot be written to.
        """
        if not self.predictions:
            raise InputError("input", [failure.message for failure in self.failures or self._outside])
        write_results(self._folder, self.predictions, self.failures, predictor.identity, predictor.decisions)
        if self._several:
            rows = [_in_the_index(row) for row in self.rows]
            index = self._folder / INDEX_FILE
            failures = (*self._outside, *self._without_page)
            write_study_index(rows, index, failures=failures, passed_over=self._passed_over)
        table_file = self._folder / STUDIES_FILE
        with table_file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            table = csv.DictWriter(file, [field.name for field in fields(StudySummary)])
            table.writeheader()
            table.writerows({**asdict(row), "name": _as_text(row.name)} for row in self.rows)

    def _write_dicom(self, study: Study, checklist: Checklist, headers: Mapping[str, Dataset] | None) -> None:
        from fetal_monai.results.filing import read_headers  # noqa: PLC0415  # highdicom is heavy
        from fetal_monai.results.key_objects import build_key_objects  # noqa: PLC0415
        from fetal_monai.results.structured_report import write_report  # noqa: PLC0415
        from fetal_monai.results.study_report import build_study_report, can_be_filed  # noqa: PLC0415

        if not can_be_filed(study):
            self.without_report += 1
            return
        headers = read_headers(study.predictions) if headers is None else headers  # once for both documents
        report = build_study_report(study, checklist, headers)
        write_report(report, self._folder / REPORTS_FOLDER / f"{report.SOPInstanceUID}.dcm")
        self.reports += 1
        selection = build_key_objects(study, checklist, headers)
        if selection is not None:
            write_report(selection, self._folder / KEY_OBJECTS_FOLDER / f"{selection.SOPInstanceUID}.dcm")
            self.key_objects += 1


def _summary(number: int, study: Study, checklist: Checklist, page: str) -> StudySummary:
    looked_at = bool(study.predictions)  # of a study of which nothing could be read, nothing is missing

    def count(status: Status) -> int:
        return checklist.count(status) if looked_at else 0

    return StudySummary(
        study=number,
        name=study.files.name,
        study_instance_uid=study.files.study_instance_uid or "",
        report=page,
        stills=len(study.stills),
        clips=len(study.clips),
        found=count(Status.FOUND),
        uncertain=count(Status.UNCERTAIN),
        missing=count(Status.MISSING),
        not_assessable=count(Status.NOT_ASSESSABLE),
        failures=len(study.failures),
    )


def _in_the_index(row: StudySummary) -> StudyRow:
    counts = {
        Status.FOUND: row.found,
        Status.UNCERTAIN: row.uncertain,
        Status.MISSING: row.missing,
        Status.NOT_ASSESSABLE: row.not_assessable,
    }
    return StudyRow(row.name, row.report or None, counts, row.stills, row.clips, row.failures)


def _as_text(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
