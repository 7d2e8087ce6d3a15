"""What all DICOM documents of ours share: the study that they are filed in, who speaks, and how images are called."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pydicom
from highdicom import sr
from pydicom import Dataset, config
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from pydicom.valuerep import validate_value

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
_TIMES = frozenset({"DA", "TM"})
_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


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
        FetalMonaiError: if there is no image, or a header is missing, is of another study or patient, or lacks what a
            reference needs.
    """
    predictions = list(predictions)
    if not predictions:
        raise FetalMonaiError("a structured report needs at least one classified image of its study")
    for found in predictions:
        if found.sop_instance_uid not in headers:
            raise FetalMonaiError(f"{found.source}: its header is not among those given; give it, too")
    for uid, header in headers.items():
        missing = [keyword for keyword in _REFERENCE if not header.get(keyword)]
        if missing:
            raise FetalMonaiError(f"instance {uid} has no {' and no '.join(missing)}; a report cannot refer to it")
        several = [keyword for keyword in (*_REFERENCE, "PatientID") if isinstance(header.get(keyword), MultiValue)]
        if several:
            raise FetalMonaiError(
                f"instance {uid} has several values of {' and of '.join(several)}, where there may be one; a report "
                "cannot tell which is meant: correct them where the file comes from"
            )
    if len({str(header.StudyInstanceUID) for header in headers.values()}) > 1:
        raise FetalMonaiError("the images are of several studies; make a report of each (build_reports does)")
    if len({patient_of(header) for header in headers.values()}) > 1:
        raise FetalMonaiError("the images are of several patients; make a report of each (build_reports does)")


def patient_of(header: Dataset) -> str:
    """Give the PatientID, as files are told apart by it.

    Args:
        header: of an instance.

    Returns:
        The id, empty where there is none.
    """
    return str(header.get("PatientID") or "").strip()


def complete_header(header: Dataset) -> Dataset:
    """Copy a header with the attributes that highdicom takes for granted; empty where the source lacks them.

    Args:
        header: of an instance; it is left as it is.

    Returns:
        The copy, without private elements. What breaks the rules of a date, a time or a single value is empty: a report
        does not hand on what nobody can read.
    """
    filled = Dataset()
    for tag in header.keys():  # noqa: SIM118  # iterating would parse every element
        if not tag.is_private:
            with suppress(Exception):  # what cannot be understood is not handed on
                filled[tag] = header[tag]
    for keyword in _TYPE_2:
        if keyword not in filled or not _readable(filled, keyword):
            setattr(filled, keyword, "")
    if filled.PatientSex not in _SEXES:
        filled.PatientSex = ""
    return filled


def _readable(header: Dataset, keyword: str) -> bool:
    element = header[keyword]
    if isinstance(element.value, MultiValue):
        return False
    try:
        if element.VR in _TIMES:
            validate_value(element.VR, str(element.value or ""), config.RAISE)
    except ValueError:
        return False
    return True


@contextmanager
def hushed() -> Iterator[None]:
    """Let highdicom work without its warnings, and with one error for all: its words quote names from headers.

    Raises:
        FetalMonaiError: where highdicom raises something.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FetalMonaiError:
        raise
    except Exception as error:  # parsers and builders of many hands meet damaged values here
        raise FetalMonaiError(
            f"no report can be made: a header breaks a rule of DICOM ({type(error).__name__}), such as a class, a date "
            "or a name that is none; dciodvfy on the file tells which"
        ) from error


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
