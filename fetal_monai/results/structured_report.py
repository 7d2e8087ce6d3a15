"""Predictions as a DICOM Structured Report: one TID 1500 Measurement Report (PS3.16) per study, in that study.

Each image has a measurement group (TID 1501) that refers to its instance and frame: the plane, the anatomy that it
shows, how certain the model is, and what else the model folder promises. The report names the algorithm, has the fetus
as its subject (TID 1008), is preliminary and unverified, and says that it comes from research software.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike

from highdicom import SOPClass, sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.codedict import codes

from fetal_monai.data.plane_codes import plane_codes
from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.prediction import ModelIdentity, Prediction
from fetal_monai.model.facts import NOTICE
from fetal_monai.results.filing import (
    SOFTWARE,
    check_headers,
    complete_header,
    device_observer,
    hushed,
    new_instance,
    patient_of,
    read_headers,
)
from fetal_monai.results.measurement_groups import image_group
from fetal_monai.utils.files import atomic_path

SERIES_NUMBER = 9901
UNKNOWN_FETUS = "unidentified"  # a classifier of planes cannot tell twins apart


def build_reports(
    predictions: Iterable[Prediction], headers: Mapping[str, Dataset] | None = None
) -> Iterator[sr.EnhancedSR]:
    """Build one report per study of one patient.

    Args:
        predictions: of DICOM images, in any order; pictures and arrays belong to no study and are passed over.
        headers: of their instances by SOP Instance UID; None reads them from the files that the predictions name.

    Yields:
        Reports, in the order of the studies' first images.

    Raises:
        InputError: if a header cannot be read.
        FetalMonaiError: if a header lacks what a report needs.
    """
    known = [found for found in predictions if found.sop_instance_uid]
    by_uid = read_headers(known) if headers is None else headers
    studies: dict[tuple[str, str], list[Prediction]] = {}
    for found in known:
        header = by_uid[str(found.sop_instance_uid)]
        study = str(header.get("StudyInstanceUID") or "")
        if not study:
            raise FetalMonaiError(f"{found.source}: it names no study, so no report can be filed; leave --sr out")
        studies.setdefault((study, patient_of(header)), []).append(found)
    for members in studies.values():
        uids = dict.fromkeys(str(found.sop_instance_uid) for found in members)
        yield build_report(members, [by_uid[uid] for uid in uids])


def build_report(
    predictions: Sequence[Prediction], headers: Sequence[Dataset], *, fetus: str = UNKNOWN_FETUS
) -> sr.EnhancedSR:
    """Build the report of one study.

    Args:
        predictions: of the study's images, one or more.
        headers: of all their instances.
        fetus: how the fetus is called, where somebody knows.

    Returns:
        An Enhanced SR; `write_report` writes it. It carries the patient and study attributes of the first header.

    Raises:
        FetalMonaiError: if a header is missing, of another study or patient, or lacks what a report needs.
    """
    by_uid = {str(header.get("SOPInstanceUID")): header for header in headers}
    check_headers(predictions, by_uid)
    with hushed():
        groups = [image_group(found, by_uid[str(found.sop_instance_uid)]) for found in predictions]
        return report_of_groups(groups, headers, predictions[0].identity, fetus=fetus)


def report_of_groups(
    groups: Sequence[sr.MeasurementsAndQualitativeEvaluations],
    headers: Sequence[Dataset],
    identity: ModelIdentity,
    *,
    evaluations: sr.ContainerContentItem | None = None,
    fetus: str = UNKNOWN_FETUS,
) -> sr.EnhancedSR:
    """Put measurement groups into a report.

    Args:
        groups: one or more.
        headers: of all instances that they refer to.
        identity: of the model.
        evaluations: the container of Qualitative Evaluations (TID 1500 row 12), of the study as a whole.
        fetus: how the fetus is called, where somebody knows.

    Returns:
        The report. It carries the patient and study attributes of the first header.
    """
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=device_observer(identity),
            subject_context=sr.SubjectContext(codes.DCM.Fetus, sr.SubjectContextFetus(fetus)),
        ),
        procedure_reported=codes.SCT.ObstetricUSScan,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    notice = sr.TextContentItem(codes.DCM.Comment, NOTICE, sr.RelationshipTypeValues.CONTAINS)
    content[0].ContentSequence.extend([notice] if evaluations is None else [evaluations, notice])
    return sr.EnhancedSR(
        evidence=[complete_header(header) for header in headers],
        content=content,
        series_number=SERIES_NUMBER,
        series_description="Fetal planes, research software, not for diagnosis",
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=plane_codes()["scheme"], name=plane_codes()["scheme_name"], responsible_organization=SOFTWARE
            )
        ],
        **new_instance(identity),
    )


def write_report(report: SOPClass, path: str | PathLike[str]) -> None:
    """Write a document as a DICOM file, whole or not at all.

    Args:
        report: a structured report, or a key object selection.
        path: the file.

    Raises:
        FetalMonaiError: if it carries a value that cannot be written.
        OSError: if the file cannot be.
    """
    content = io.BytesIO()
    with hushed():
        report.save_as(content, enforce_file_format=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
