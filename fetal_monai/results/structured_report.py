"""Predictions as a DICOM Structured Report: one TID 1500 Measurement Report (PS3.16) per study, in that study.

Each image has a measurement group (TID 1501) that refers to its instance and frame: the plane, the anatomy that it
shows, how certain the model is, and what else the model folder promises. The report names the algorithm, has the fetus
as its subject (TID 1008), is preliminary and unverified, and says that it comes from research software.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike

import pydicom
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from fetal_monai.data.plane_codes import plane_codes
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.prediction import ModelIdentity, Prediction
from fetal_monai.model.facts import NOTICE
from fetal_monai.utils.files import atomic_path

SOFTWARE = "fetal_monai"
DEVICE_UID = "2.25.296199150767839732887042056682939778053"  # of the software as a device, drawn once
SERIES_NUMBER = 9901
UNKNOWN_FETUS = "unidentified"  # a classifier of planes cannot tell twins apart
# Type 2 attributes (PS3.3 C.7.1.1, C.7.2.1): they must be there, and may be empty.
_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_SEXES = ("M", "F", "O")


def _private(code: str, meaning: str) -> sr.CodedConcept:
    return sr.CodedConcept(code, plane_codes()["scheme"], meaning[:64])  # LO and SH limits of PS3.5 6.2


def plane_code(class_name: str) -> sr.CodedConcept:
    """Code a class in the private scheme 99FETALMONAI: no standard scheme names these planes.

    Args:
        class_name: of the model.

    Returns:
        The code of `plane_codes.yaml`, or for other names one that is always the same for the same name.

    Example:
        >>> plane_code("Femur").value, plane_code("Left foot").value
        ('FEMUR', 'C23E111062')
    """
    entry = plane_codes()["planes"].get(class_name)
    code = entry["code"] if entry else "C" + hashlib.sha256(class_name.encode()).hexdigest()[:9].upper()
    return _private(code, class_name)


def anatomy_codes(class_name: str) -> list[sr.CodedConcept]:
    """Give the SNOMED CT codes of what a plane shows.

    Args:
        class_name: of the model.

    Returns:
        The codes, none for classes without a standard one.

    Example:
        >>> [(code.scheme_designator, code.value) for code in anatomy_codes("Kidneys")]
        [('SCT', '64033007')]
    """
    sites = plane_codes()["planes"].get(class_name, {}).get("sites", ())
    return [sr.CodedConcept(value, scheme, meaning) for scheme, value, meaning in sites]


def read_headers(predictions: Iterable[Prediction]) -> dict[str, Dataset]:
    """Read the headers of the instances that predictions are about.

    Args:
        predictions: those of pictures and arrays are passed over.

    Returns:
        By SOP Instance UID.

    Raises:
        InputError: if a file that was classified can no longer be read.
    """
    headers: dict[str, Dataset] = {}
    for found in predictions:
        uid = found.sop_instance_uid
        if uid is None or uid in headers:
            continue
        try:
            headers[uid] = pydicom.dcmread(found.source, stop_before_pixels=True, force=True)
        except Exception as error:  # pydicom meets whatever a file holds
            problem = f"its header cannot be read for the report ({type(error).__name__}); leave --sr out, or the file"
            raise InputError(found.source, [problem]) from error
    return headers


def build_reports(
    predictions: Iterable[Prediction], headers: Mapping[str, Dataset] | None = None
) -> Iterator[sr.EnhancedSR]:
    """Build one report per study.

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
    studies: dict[str, list[Prediction]] = {}
    for found in known:
        study = str(by_uid[str(found.sop_instance_uid)].get("StudyInstanceUID") or "")
        if not study:
            raise FetalMonaiError(f"{found.source}: it names no study, so no report can be filed; leave --sr out")
        studies.setdefault(study, []).append(found)
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
        FetalMonaiError: if a header is missing, of another study, or lacks what a report needs.
    """
    by_uid = {str(header.get("SOPInstanceUID")): header for header in headers}
    evidence = [_with_type_2(header) for header in headers]
    _check(predictions, by_uid)
    identity = predictions[0].identity
    content = sr.MeasurementReport(
        observation_context=_context(identity, fetus),
        procedure_reported=codes.SCT.ObstetricUSScan,
        imaging_measurements=[_group(found, by_uid[str(found.sop_instance_uid)]) for found in predictions],
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(sr.TextContentItem(codes.DCM.Comment, NOTICE, sr.RelationshipTypeValues.CONTAINS))
    return sr.EnhancedSR(
        evidence=evidence,
        content=content,
        series_instance_uid=generate_uid(prefix=None),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name=identity.name,
        software_versions=identity.fetal_monai_version,
        device_serial_number=identity.version,
        series_description="Fetal planes, research software, not for diagnosis",
        specific_character_set="ISO_IR 192",
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=plane_codes()["scheme"], name=plane_codes()["scheme_name"], responsible_organization=SOFTWARE
            )
        ],
    )


def write_report(report: sr.EnhancedSR, path: str | PathLike[str]) -> None:
    """Write a report as a DICOM file, whole or not at all.

    Args:
        report: as `build_report` gave it.
        path: the file.
    """
    with atomic_path(path) as temporary:
        report.save_as(temporary, enforce_file_format=True)


def _check(predictions: Sequence[Prediction], headers: Mapping[str, Dataset]) -> None:
    if not predictions:
        raise FetalMonaiError("a structured report needs at least one classified image of its study")
    for found in predictions:
        if found.sop_instance_uid not in headers:
            raise FetalMonaiError(f"{found.source}: its header is not among those given; give it to build_report")
    for uid, header in headers.items():
        needed = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        missing = [keyword for keyword in needed if not header.get(keyword)]
        if missing:
            raise FetalMonaiError(f"instance {uid} has no {' and no '.join(missing)}; a report cannot refer to it")
    if len({str(header.StudyInstanceUID) for header in headers.values()}) > 1:
        raise FetalMonaiError("the images are of several studies; use build_reports, which makes one report for each")


def _with_type_2(header: Dataset) -> Dataset:
    """Copy a header with the attributes that highdicom takes for granted; empty where the source lacks them."""
    filled = Dataset()
    filled.update({element.tag: element for element in header if not element.tag.is_private})
    for keyword in _TYPE_2:
        if keyword not in filled:
            setattr(filled, keyword, "")
    if filled.PatientSex not in _SEXES:
        filled.PatientSex = ""
    return filled


def _context(identity: ModelIdentity, fetus: str) -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID,
        name=f"{SOFTWARE} (research software, not a medical device)",
        manufacturer_name=SOFTWARE,
        model_name=identity.name,
        serial_number=identity.version,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(codes.DCM.Device, device),
        subject_context=sr.SubjectContext(codes.DCM.Fetus, sr.SubjectContextFetus(fetus)),
    )


def _group(found: Prediction, header: Dataset) -> sr.MeasurementsAndQualitativeEvaluations:
    clip = int(header.get("NumberOfFrames") or 1) > 1
    identity = found.identity
    plane = _private("PLANE", "Fetal ultrasound plane")
    evaluations = [
        sr.QualitativeEvaluation(plane, codes.SCT.Undetermined if found.label is None else plane_code(found.label))
    ]
    if found.label is None:
        likeliest = _private("PLANE-LIKELIEST", "Most probable plane, too uncertain to report")
        evaluations.append(sr.QualitativeEvaluation(likeliest, plane_code(found.top)))
    candidate = _private("PLANE-CANDIDATE", "Plane in the prediction set")
    evaluations += [sr.QualitativeEvaluation(candidate, plane_code(name)) for name in found.conformal_set or ()]
    if found.out_of_distribution is not None:
        unlike = _private("OUT-OF-DISTRIB", "Unlike the images that the model was trained on")
        answer = codes.SCT.Yes if found.out_of_distribution else codes.SCT.No
        evaluations.append(sr.QualitativeEvaluation(unlike, answer))
    certainty = sr.Measurement(codes.DCM.CertaintyOfFinding, round(100 * found.confidence, 4), codes.UCUM.Percent)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=generate_uid(prefix=None), identifier=_tracking_name(found, header)
        ),
        algorithm_id=sr.AlgorithmIdentification(
            name=f"{SOFTWARE} {identity.name}",
            version=identity.version,
            parameters=[
                f"weights SHA-256 {identity.weights_sha256}",
                f"preprocessing SHA-256 {identity.preprocessing_sha256}",
                f"{SOFTWARE} {identity.fetal_monai_version}",
            ],
        ),
        finding_sites=[sr.FindingSite(code) for code in anatomy_codes(found.label or "")] or None,
        measurements=[certainty],
        qualitative_evaluations=evaluations,
        source_images=[
            sr.SourceImageForMeasurementGroup(
                str(header.SOPClassUID), str(header.SOPInstanceUID), [found.frame + 1] if clip else None
            )
        ],
    )


def _tracking_name(found: Prediction, header: Dataset) -> str:
    number = header.get("InstanceNumber")
    name = f"image {number}" if number not in (None, "") else "image"
    return name if found.frame < 0 else f"{name}, frame {found.frame + 1}"
