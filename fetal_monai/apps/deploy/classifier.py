"""Ultrasound frames to predictions, by the one `Predictor`."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from fetal_monai.apps.deploy.study import ClassifiedStudy, UltrasoundStudy
from fetal_monai.inference import Predictor, ReadFailure


class PlaneClassifierOperator(Operator):
    """Classify every frame of every study. Preprocessing, calibration and thresholds are the model folder's.

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
        classified = ClassifiedStudy(study, [], list(study.failures))
        for found in self._predictor.predict(study.frames):
            if isinstance(found, ReadFailure):
                classified.failures.append(found)
            else:
                classified.predictions.append(found)
        return classified
