"""Ultrasound instances to planes, segments and key frames, by the one `Predictor`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from fetal_monai.apps.deploy.study import ClassifiedStudy, UltrasoundStudy
from fetal_monai.inference import Predictor
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.study import analyse_studies


class PlaneClassifierOperator(Operator):
    """Analyse every study: stills, and clips with their segments and key frames.

    Preprocessing, calibration and thresholds are the model folder's.

    Args:
        fragment: the application.
        predictor: the model.

    Named input:
        ultrasound_studies: from `UltrasoundFramesOperator`.

    Named output:
        classified_studies: a list of `ClassifiedStudy`.
    """

    def __init__(self, fragment: Fragment, *args: Any, predictor: Predictor, **kwargs: Any) -> None:
        self._predictor = predictor
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("ultrasound_studies")
        spec.output("classified_studies")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:  # noqa: ARG002  # the SDK's signature
        """Classify and emit."""
        studies = op_input.receive("ultrasound_studies")
        op_output.emit([self._classify(study) for study in studies], "classified_studies")

    def _classify(self, study: UltrasoundStudy) -> ClassifiedStudy:
        files = StudyFiles(study.uid, study.uid, tuple(study.stills), dict(study.clips))
        (found,) = analyse_studies([files], self._predictor)
        return ClassifiedStudy(replace(found, failures=(*study.failures, *found.failures)), study.headers)
