"""Predictions to files: one structured report per study, and predictions.csv and predictions.json of all."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from fetal_monai.apps.deploy.study import ClassifiedStudy
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.results.folder import REPORTS_FOLDER, write_results
from fetal_monai.results.structured_report import build_report, write_report


class ReportWriterOperator(Operator):
    """Write the results, as `fetal-monai predict --sr` does.

    Args:
        fragment: the application.
        output_folder: where to; see `fetal_monai.results.folder.results_folder` for all or nothing.
        predictor: the model, for its identity.
        source: what to call the input in an error.

    Named inputs:
        classified_studies: from `PlaneClassifierOperator`.
        unreadable: from `StudyLoaderOperator`.

    Raises:
        InputError: when it runs, if not one image could be read.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        output_folder: str | PathLike[str],
        predictor: Predictor,
        source: str | PathLike[str] = "input",
        **kwargs: Any,
    ) -> None:
        self._folder = Path(output_folder)
        self._predictor = predictor
        self._source = source
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("classified_studies")
        spec.input("unreadable")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:  # noqa: ARG002  # the SDK's signature
        """Write everything."""
        studies: list[ClassifiedStudy] = op_input.receive("classified_studies")
        failures = [*op_input.receive("unreadable"), *(failure for study in studies for failure in study.failures)]
        predictions = [found for study in studies for found in study.predictions]
        if not predictions:
            raise InputError(self._source, ["no ultrasound image could be read", *(f.message for f in failures)])
        for study in studies:
            if study.predictions:
                self._write_report(study)
        write_results(self._folder, predictions, failures, self._predictor.identity, self._predictor.decisions)

    def _write_report(self, study: ClassifiedStudy) -> None:
        uids = dict.fromkeys(str(found.sop_instance_uid) for found in study.predictions)
        report = build_report(study.predictions, [study.study.headers[uid] for uid in uids])
        write_report(report, self._folder / REPORTS_FOLDER / f"{report.SOPInstanceUID}.dcm")
