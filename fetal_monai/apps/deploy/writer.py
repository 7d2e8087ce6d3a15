"""Studies to files: of each its page, study.json, structured report and key objects; tables of all."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from fetal_monai.apps.deploy.study import ClassifiedStudy
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.results.all_studies import AllStudies
from fetal_monai.results.study_folder import StudyWriter
from fetal_monai.study.protocol import DEFAULT_PROTOCOL, load_protocol


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
        protocol = load_protocol(DEFAULT_PROTOCOL, self._predictor.class_names)
        unreadable = op_input.receive("unreadable")
        several = len(studies) > 1
        writer = StudyWriter(self._folder, protocol, several=several, failures=unreadable, dicom=True)
        everything = AllStudies(self._folder, several=several, failures=unreadable)
        for number, study in enumerate(studies, start=1):
            everything.add(writer.write(number, study.found, study.headers))
        try:
            everything.finish(self._predictor)
        except InputError as error:
            raise InputError(self._source, ["no ultrasound image could be read", *error.problems]) from error
