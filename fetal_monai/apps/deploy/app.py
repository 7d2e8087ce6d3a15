"""The application: which operators there are and how they are connected."""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path

from holoscan.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.operators import DICOMSeriesSelectorOperator

from fetal_monai.apps.deploy.classifier import PlaneClassifierOperator
from fetal_monai.apps.deploy.loader import StudyLoaderOperator
from fetal_monai.apps.deploy.ultrasound import ULTRASOUND_RULES, UltrasoundFramesOperator
from fetal_monai.apps.deploy.writer import ReportWriterOperator
from fetal_monai.inference import Predictor


class FetalPlanesApp(Application):
    """Classify the fetal planes of the studies in a folder.

    Args:
        input_folder: DICOM files of one or more studies, in any folders below it.
        output_folder: where the results go.
        predictor: the model.

    Raises:
        FetalMonaiError: when it runs: what an operator raises comes out of `run()`.
    """

    def __init__(
        self, *, input_folder: str | PathLike[str], output_folder: str | PathLike[str], predictor: Predictor
    ) -> None:
        self._input = Path(input_folder)
        self._output = Path(output_folder)
        self._predictor = predictor
        super().__init__([sys.argv[0]])  # Holoscan would read our options as its own

    def compose(self) -> None:
        """Make the operators and connect them."""
        loader = StudyLoaderOperator(self, CountCondition(self, 1), input_folder=self._input, name="loader")
        selector = DICOMSeriesSelectorOperator(self, rules=ULTRASOUND_RULES, all_matched=True, name="selector")
        ultrasound = UltrasoundFramesOperator(self, source=self._input, name="ultrasound")
        classifier = PlaneClassifierOperator(self, predictor=self._predictor, name="classifier")
        writer = ReportWriterOperator(
            self, output_folder=self._output, predictor=self._predictor, source=self._input, name="writer"
        )
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, ultrasound, {("study_selected_series_list", "study_selected_series_list")})
        self.add_flow(ultrasound, classifier, {("ultrasound_studies", "ultrasound_studies")})
        self.add_flow(classifier, writer, {("classified_studies", "classified_studies")})
        self.add_flow(loader, writer, {("unreadable", "unreadable")})
