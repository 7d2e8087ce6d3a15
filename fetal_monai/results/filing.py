"""What all DICOM documents of ours share: the study that they are filed in, who speaks, and how images are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pydicom
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.prediction import ModelIdentity, Prediction

SOFTWARE = "fetal_monai"
DEVICE_UID = "2.25.296199150767839732887042056682939778053"  # of the software as a device, drawn once
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


def headers_of(predictions: Iterable[Prediction], headers: Mapping[str, Dataset] | None = None) -> dict[str, Dataset]:
    """Gather the headers of the instances that predictions are about, and no others.

    Args:
        predictions: of DICOM images of one study.
        headers: by SOP Instance UID, of other instances, too; None reads them from the files.

    Returns:
        By SOP Instance UID, in the order of the predictions, fit for a document to refer to.

    Raises:
        InputError: if a header cannot be read.
        FetalMonaiError: see `check_headers`.
    """
    predictions = list(predictions)
    given = read_headers(predictions) if headers is None else headers
    uids = dict.fromkeys(str(found.sop_instance_uid) for found in predictions)
    own = {uid: given[uid] for uid in uids if uid in given}
    check_headers(predictions, own)
    return own


def check_headers(predictions: Iterable[Prediction], headers: Mapping[str, Dataset]) -> None:
    """See that a document can refer to images.

    Args:
        predictions: of the images.
        headers: of their instances, and of no others, by SOP Instance UID.

    Raises:
        FetalMonaiError: if there is no image, or a header is missing, is of another study, or lacks what a reference
            needs.
    """
    predictions = list(predictions)
    if not predictions:
        raise FetalMonaiError("a structured report needs at least one classified image of its study")
    for found in predictions:
        if found.sop_instance_uid not in headers:
            raise FetalMonaiError(f"{found.source}: its header is not among those given; give it, too")
    for uid, header in headers.items():
        needed = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        missing = [keyword for keyword in needed if not header.get(keyword)]
        if missing:
            raise FetalMonaiError(f"instance {uid} has no {' and no '.join(missing)}; a report cannot refer to it")
    if len({str(header.StudyInstanceUID) for header in headers.values()}) > 1:
        raise FetalMonaiError("the images are of several studies; make a report of each (build_reports does)")


def complete_header(header: Dataset) -> Dataset:
    """Copy a header with the attributes that highdicom takes for granted; empty where the source lacks them.

    Args:
        header: of an instance; it is left as it is.

    Returns:
        The copy, without private elements.
    """
    filled = Dataset()
    filled.update({element.tag: element for element in header if not element.tag.is_private})
    for keyword in _TYPE_2:
        if keyword not in filled:
            setattr(filled, keyword, "")
    if filled.PatientSex not in _SEXES:
        filled.PatientSex = ""
    return filled


def device_observer(identity: ModelIdentity) -> sr.ObserverContext:
    """Say who speaks: the software.

    Args:
        identity: of its model.

    Returns:
        The observer (TID 1004).
    """
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID,
        name=f"{SOFTWARE} (research software, not a medical device)",
        manufacturer_name=SOFTWARE,
        model_name=identity.name,
        serial_number=identity.version,
    )
    return sr.ObserverContext(codes.DCM.Device, device)


def new_instance(identity: ModelIdentity) -> dict[str, Any]:
    """Give the attributes of a new instance, the only one of a new series, made by the software.

    Args:
        identity: of its model.

    Returns:
        Arguments of highdicom's documents.
    """
    return {
        "series_instance_uid": generate_uid(prefix=None),
        "sop_instance_uid": generate_uid(prefix=None),
        "instance_number": 1,
        "manufacturer": SOFTWARE,
        "manufacturer_model_name": identity.name,
        "software_versions": identity.fetal_monai_version,
        "device_serial_number": identity.version,
        "specific_character_set": "ISO_IR 192",
    }


def image_name(header: Dataset, first: int = -1, last: int | None = None) -> str:
    """Call an image, or frames of it, by the numbers that a person sees in a viewer.

    Args:
        header: of the instance.
        first: frame, from 0; -1 for the whole image.
        last: frame, included; None for one frame only.

    Returns:
        The name.

    Example:
        >>> header = Dataset()
        >>> header.InstanceNumber = 7
        >>> image_name(header), image_name(header, 10), image_name(header, 10, 57)
        ('image 7', 'image 7, frame 11', 'image 7, frames 11 to 58')
    """
    number = header.get("InstanceNumber")
    name = f"image {number}" if number not in (None, "") else "image"
    if first < 0:
        return name
    return f"{name}, frame {first + 1}" if last in (None, first) else f"{name}, frames {first + 1} to {last + 1}"
