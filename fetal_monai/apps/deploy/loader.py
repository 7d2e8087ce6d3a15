"""DICOM files to studies, for ultrasound: headers only, every instance kept, damaged files named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.core import ConditionType, OperatorSpec
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy
from monai.deploy.operators import DICOMDataLoaderOperator
from pydicom import Dataset, dcmread

from fetal_monai.dicom import index_dicom
from fetal_monai.dicom.index import DUPLICATE, remedy
from fetal_monai.errors import InputError
from fetal_monai.inference import ReadFailure
from fetal_monai.inference.discover import REMEDY, meant_as_image
from fetal_monai.results.filing import patient_of

_Study = tuple[str, str]  # its UID and the patient: two patients with one Study Instance UID are kept apart


class StudyLoaderOperator(DICOMDataLoaderOperator):
    """The SDK's loader with another way of reading, and the same ports.

    The SDK's own reads every file whole into memory, passes damaged ones over without telling, and keeps one of several
    instances that lie at the same position, which for ultrasound are different images.

    Named input:
        input_folder: path of the folder, optional; otherwise the one given to the constructor.

    Named outputs:
        dicom_study_list: DICOMStudy objects; their instances are headers that know their file.
        unreadable: a list of `ReadFailure`, one for each file that looks like DICOM and cannot be used.
    """

    def setup(self, spec: OperatorSpec) -> None:
        """Add the second output; nobody need be connected to it."""
        super().setup(spec)
        spec.output("unreadable").condition(ConditionType.NONE)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Load the folder and emit what is in it."""
        self.unreadable: list[ReadFailure] = []
        super().compute(op_input, op_output, context)
        op_output.emit(self.unreadable, "unreadable")

    def load_data_to_studies(self, input_path: Path) -> list[DICOMStudy]:
        """Read the headers below a folder.

        Args:
            input_path: the folder.

        Returns:
            The studies, their series and instances in the order of the files' paths.

        Raises:
            InputError: if there is no such folder, or no DICOM in it.
        """
        index = index_dicom(input_path)
        problems = {path: reason for path, reason in index.unreadable.items() if meant_as_image(Path(path))}
        problems |= dict.fromkeys(index.duplicates, DUPLICATE)
        studies: dict[_Study, DICOMStudy] = {}
        series: dict[tuple[_Study, str], DICOMSeries] = {}
        for entry in index.values():
            try:
                header = dcmread(entry.path, stop_before_pixels=True, force=True)
                self._add(header, studies, series)
            except Exception as error:  # noqa: BLE001  # pydicom meets whatever a file holds; the others go on
                problems[entry.path] = f"its header cannot be used ({type(error).__name__}: {str(error)[:200]})"
        self.unreadable = [
            ReadFailure(path, f"{path}: {reason}; {remedy(reason, REMEDY)}") for path, reason in problems.items()
        ]
        if not studies:
            first = "".join(f"; {failure.message}" for failure in self.unreadable[:1])
            raise InputError(input_path, [f"no DICOM study among {len(index) + len(index.unreadable)} files{first}"])
        return list(studies.values())

    def _add(
        self, header: Dataset, studies: dict[_Study, DICOMStudy], series: dict[tuple[_Study, str], DICOMSeries]
    ) -> None:
        key = (str(header.StudyInstanceUID), patient_of(header)), str(header.SeriesInstanceUID)
        if key not in series:
            found = DICOMSeries(key[1])
            self.populate_series_attributes(found, header)
            if key[0] not in studies:
                study = DICOMStudy(key[0][0])
                self.populate_study_attributes(study, header)
                studies[key[0]] = study
            studies[key[0]].add_series(found)
            series[key] = found
        series[key].add_sop_instance(header)
