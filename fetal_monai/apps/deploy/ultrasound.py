"""Selected series to ultrasound frames: all instances, stills and clips, their colour untouched."""

from __future__ import annotations

import json
import logging
from os import PathLike
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries
from pydicom import Dataset

from fetal_monai.apps.deploy.study import UltrasoundStudy
from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.dicom import UltrasoundInstance
from fetal_monai.errors import DicomReadError, InputError
from fetal_monai.inference import ReadFailure

# For DICOMSeriesSelectorOperator(rules=..., all_matched=True); the condition is a regular expression.
ULTRASOUND_RULES = json.dumps(
    {"selections": [{"name": "ultrasound", "conditions": {"Modality": f"^({'|'.join(ULTRASOUND_MODALITIES)})$"}}]}
)
_log = logging.getLogger(__name__)


class UltrasoundFramesOperator(Operator):
    """List the ultrasound instances of the selected series.

    It stands where other applications have `DICOMSeriesToVolumeOperator`, which makes one grey volume of a series. Here
    an instance is a still or a clip of its own, decoded when it is looked at.

    Args:
        fragment: the application.
        source: what to call the input in an error.

    Named input:
        study_selected_series_list: from `DICOMSeriesSelectorOperator`.

    Named output:
        ultrasound_studies: a list of `UltrasoundStudy`.

    Raises:
        InputError: when it runs, if there is no ultrasound image at all.
    """

    def __init__(self, fragment: Fragment, *args: Any, source: str | PathLike[str] = "input", **kwargs: Any) -> None:
        self._source = source
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("study_selected_series_list")
        spec.output("ultrasound_studies")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:  # noqa: ARG002  # the SDK's signature
        """List the instances and emit them."""
        selected = op_input.receive("study_selected_series_list")
        studies = [study for study in map(list_study, selected) if study.stills or study.clips or study.failures]
        if not studies:
            problem = "no ultrasound image: no series of Modality US has an instance with pixels; give such a study"
            raise InputError(self._source, [problem])
        op_output.emit(studies, "ultrasound_studies")


def list_study(selected: StudySelectedSeries) -> UltrasoundStudy:
    """List the instances of one study.

    Args:
        selected: the study and its selected series; their instances know their file.

    Returns:
        Its stills and clips, and the instances whose pixels cannot be described.
    """
    found = UltrasoundStudy(str(selected.study.StudyInstanceUID))
    for series in selected.selected_series:
        for instance in series.series.get_sop_instances():
            _add_instance(found, instance.get_native_sop_instance())
    _log.info("study %s: %d stills, %d clips", found.uid, len(found.stills), len(found.clips))
    return found


def _add_instance(found: UltrasoundStudy, header: Dataset) -> None:
    if "Rows" not in header:
        return  # raw data, a presentation state: of an ultrasound series, but no image
    path = str(header.filename)
    try:
        with UltrasoundInstance(path) as instance:
            count = len(instance)
    except DicomReadError as error:
        found.failures.append(ReadFailure(path, str(error)))
        return
    found.headers[str(header.SOPInstanceUID)] = header
    if count == 1:
        found.stills.append(path)
    else:
        found.clips[path] = count
