"""What is written of a study: its study.json, its page and DICOM."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pydicom import Dataset

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.report.study_page import Explain, write_study_page
from fetal_monai.results.folder import KEY_OBJECTS_FOLDER, PAGE_FILE, REPORTS_FOLDER, STUDIES_FOLDER, STUDY_FILE
from fetal_monai.results.study_json import study_to_json
from fetal_monai.study.checklist import Checklist, Status, check
from fetal_monai.study.protocol import Protocol
from fetal_monai.study.study import Study
from fetal_monai.utils.files import write_json_lines


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


COLUMNS = [field.name for field in fields(StudySummary)]
"""Of studies.csv."""


@dataclass(frozen=True, eq=False)
class WrittenStudy:
    """What is known of a study when its files are written.

    Args:
        row: for the table of studies.
        predictions: of all its images.
        failures: of what could not be read.
        report: name of its structured report, empty where it has none.
        key_objects: name of its selection of key objects, likewise.
        without_report: whether a report was asked for that cannot be: it is of pictures or names no study.
    """

    row: StudySummary
    predictions: tuple[Prediction, ...]
    failures: tuple[ReadFailure, ...]
    report: str = ""
    key_objects: str = ""
    without_report: bool = False


class StudyWriter:
    """Writes studies into a folder that `results_folder` gave, each for itself and in any order.

    Args:
        folder: where to.
        protocol: whose checklist is held against each study.
        several: whether there will be more than one; then each gets a folder of its own, named by its number.
        failures: of files that are in no study; told by the only study.
        passed_over: file -> why it was not looked at; likewise.
        dicom: write a structured report and key objects of each.
        explain: draws what spoke for the best images, see `StudyExplainer`; None draws nothing.
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

    def write(self, number: int, study: Study, headers: Mapping[str, Dataset] | None = None) -> WrittenStudy:
        """Write one study.

        Args:
            number: of the study, from 1.
            study: as it was analysed.
            headers: of its DICOM instances by SOP Instance UID; None reads them from the files.

        Returns:
            What `AllStudies` wants to know of it. Of a study of which nothing could be read, nothing is written. Why a
            report that is wanted cannot be made stands among its failures, and on its page.

        Raises:
            OSError: if the folder cannot be written to.
        """
        if not self._several:
            files = replace(study.files, passed_over=self._passed_over)
            study = replace(study, files=files, failures=(*self._outside, *study.failures))
        checklist = check(study, self._protocol)
        page = report = key_objects = ""
        can_have_report = True
        if study.predictions:
            place = f"{STUDIES_FOLDER}/{number}/" if self._several else ""
            page = f"{place}{PAGE_FILE}"
            if place and (self._folder / place).exists():
                shutil.rmtree(self._folder / place)  # what a process left of it that was killed
            (self._folder / place).mkdir(parents=True, exist_ok=True)
            if self._dicom:
                try:
                    report, key_objects = self._write_dicom(study, checklist, headers)
                    can_have_report = bool(report)
                except FetalMonaiError as error:  # a bad header costs its study the report, and nobody else anything
                    source = study.predictions[0].source
                    refused = ReadFailure(source, f"{source}: its study has no structured report: {error}")
                    study = replace(study, failures=(*study.failures, refused))
            write_json_lines(study_to_json(study, checklist), self._folder / place / STUDY_FILE)
            write_study_page(study, checklist, self._folder / page, explain=self._explain)
        return WrittenStudy(
            _summary(number, study, checklist, page),
            tuple(study.predictions),
            study.failures,
            report=report,
            key_objects=key_objects,
            without_report=not can_have_report,
        )

    def _write_dicom(
        self, study: Study, checklist: Checklist, headers: Mapping[str, Dataset] | None
    ) -> tuple[str, str]:
        """Write the structured report and the key objects; give their names, empty where there is none."""
        from fetal_monai.results.filing import read_headers  # noqa: PLC0415  # highdicom is heavy
        from fetal_monai.results.key_objects import build_key_objects  # noqa: PLC0415
        from fetal_monai.results.structured_report import write_report  # noqa: PLC0415
        from fetal_monai.results.study_report import build_study_report, can_be_filed  # noqa: PLC0415

        if not can_be_filed(study):
            return "", ""
        headers = read_headers(study.predictions) if headers is None else headers  # once for both documents
        report = build_study_report(study, checklist, headers)
        selection = build_key_objects(study, checklist, headers)
        names = [f"{report.SOPInstanceUID}.dcm", ""]
        write_report(report, self._folder / REPORTS_FOLDER / names[0])
        if selection is not None:
            names[1] = f"{selection.SOPInstanceUID}.dcm"
            write_report(selection, self._folder / KEY_OBJECTS_FOLDER / names[1])
        return names[0], names[1]


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
