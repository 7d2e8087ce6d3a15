"""What is written of all studies together: the tables of images and of studies, and the index."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.study_index import StudyRow, write_study_index
from fetal_monai.results.folder import INDEX_FILE, KEY_OBJECTS_FOLDER, REPORTS_FOLDER, STUDIES_FILE, write_results
from fetal_monai.results.study_folder import COLUMNS, StudySummary, WrittenStudy
from fetal_monai.study.checklist import Status
from fetal_monai.utils.spreadsheet import cell


class AllStudies:
    """Gathers what `StudyWriter` says of each study, in their order, and writes what is about all of them.

    Args:
        folder: that `results_folder` gave.
        several: whether there is more than one; then there is an index.
        failures: of files that are in no study; told in the index, as are those of studies without a page.
        passed_over: file -> why it was not looked at; told in the index.

    Attributes:
        rows: one for each study.
        predictions: of all studies.
        failures: likewise, and those of no study.
        reports: names of the structured reports that were written.
        key_objects: names of the selections of key objects.
        without_report: how many studies have none because they are of pictures or name no study.
    """

    def __init__(
        self,
        folder: Path,
        *,
        several: bool,
        failures: Sequence[ReadFailure] = (),
        passed_over: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._several = several
        self._outside = tuple(failures)
        self._passed_over = dict(passed_over or {})
        self.rows: list[StudySummary] = []
        self.predictions: list[Prediction] = []
        self.failures: list[ReadFailure] = list(failures) if several else []  # an only study tells them itself
        self.reports: set[str] = set()
        self.key_objects: set[str] = set()
        self.without_report = 0
        self._without_page: list[ReadFailure] = []

    def add(self, written: WrittenStudy) -> None:
        """Take note of a study.

        Args:
            written: the next one.
        """
        self.rows.append(written.row)
        self.predictions += written.predictions
        self.failures += written.failures
        self.reports |= {written.report} - {""}
        self.key_objects |= {written.key_objects} - {""}
        self.without_report += written.without_report
        if not written.row.report:
            self._without_page += written.failures

    def finish(self, predictor: Predictor) -> None:
        """Write the tables, and the index where there are several studies.

        Args:
            predictor: the model that looked at them.

        Raises:
            InputError: if nothing at all could be read: then all failures.
            OSError: if the folder cannot be written to.
        """
        if not self.predictions:
            raise InputError("input", [failure.message for failure in self.failures or self._outside])
        _keep(self._folder / REPORTS_FOLDER, self.reports)
        _keep(self._folder / KEY_OBJECTS_FOLDER, self.key_objects)
        write_results(self._folder, self.predictions, self.failures, predictor.identity, predictor.decisions)
        if self._several:
            rows = [_in_the_index(row) for row in self.rows]
            index = self._folder / INDEX_FILE
            failures = (*self._outside, *self._without_page)
            write_study_index(rows, index, failures=failures, passed_over=self._passed_over)
        table_file = self._folder / STUDIES_FILE
        with table_file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            for row in self.rows:
                texts = {"name": cell(row.name), "study_instance_uid": cell(row.study_instance_uid)}
                table.writerow({**asdict(row), **texts})


def _keep(folder: Path, names: set[str]) -> None:
    """Delete what a process had written of a study when it was killed: another has done it since, under other UIDs."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()


def _in_the_index(row: StudySummary) -> StudyRow:
    counts = {
        Status.FOUND: row.found,
        Status.UNCERTAIN: row.uncertain,
        Status.MISSING: row.missing,
        Status.NOT_ASSESSABLE: row.not_assessable,
    }
    return StudyRow(row.name, row.report or None, counts, row.stills, row.clips, row.failures)
