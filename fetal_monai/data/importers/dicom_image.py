"""A picture as Ultrasound Image Storage (PS3.3 A.6), with nothing in the header that the source does not tell."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

import jpeg_ls
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless, UltrasoundImageStorage

from fetal_monai.data.importers.picture import Picture
from fetal_monai.utils.files import atomic_path

_BY_PIXEL = 2
_UNKNOWN = (  # has to be there, empty where it is not known
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Manufacturer",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientOrientation",
    "Laterality",
    "InstanceNumber",
)


def _digest(*parts: str | bytes) -> bytes:
    whole = hashlib.sha256(b"fetal_monai import 1")
    for part in parts:  # each by its own digest, so that no two lists of parts run together to the same
        whole.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
    return whole.digest()


def content_uid(*parts: str | bytes) -> UID:
    """Return the UUID-derived UID (PS3.5 B.2) that belongs to `parts`, always the same.

    Args:
        parts: what it stands for.

    Returns:
        A UID below 2.25.

    Example:
        >>> content_uid("a.png", b"content") == content_uid("a.png", b"content") != content_uid("b.png", b"content")
        True
    """
    return UID(f"2.25.{uuid.UUID(bytes=_digest(*parts)[:16], version=5).int}")


@dataclass(frozen=True)
class Identity:
    """Whose image it is and where it belongs, derived from what the source says.

    Args:
        sop_uid: the SOPInstanceUID.
        patient_id: the PatientID.
        study_uid: the StudyInstanceUID.
        series_uid: the SeriesInstanceUID.
        device: the machine; empty if unknown.
        published_as: the public data set that it comes from; empty if it is none.
    """

    sop_uid: UID
    patient_id: str
    study_uid: UID
    series_uid: UID
    device: str = ""
    published_as: str = ""


def derive_identity(
    kind: str, title: str, patient: str, content: bytes, *, device: str = "", published_as: str = ""
) -> Identity:
    """Derive all identifiers of an image: the same source gives the same ones, and none can be read back.

    Args:
        kind: of the import.
        title: the image's name in the data set.
        patient: as the source calls the patient.
        content: the file.
        device: the machine.
        published_as: the public data set.

    Returns:
        The identity.
    """
    return Identity(
        sop_uid=content_uid(kind, "image", title, content),
        patient_id=_digest(kind, "patient", patient).hex()[:16].upper(),
        study_uid=content_uid(kind, "study", patient),
        series_uid=content_uid(kind, "series", patient),
        device=device,
        published_as=published_as,
    )


def build_dataset(picture: Picture, identity: Identity) -> Dataset:
    """Return the data set of a picture, with file meta information.

    JPEG Baseline stays as it is; all else becomes JPEG-LS Lossless.

    Args:
        picture: what it shows.
        identity: whose it is.

    Returns:
        What `write_image` writes.
    """
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.ImageType = ["DERIVED", "PRIMARY"]  # a picture of what the scanner made
    data.SOPClassUID = UltrasoundImageStorage
    data.SOPInstanceUID = identity.sop_uid
    data.Modality = "US"
    data.SeriesNumber = 1
    for keyword in _UNKNOWN:
        setattr(data, keyword, None)
    if identity.device:
        data.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
        data.ManufacturerModelName = " ".join(identity.device.replace("\\", " ").split())[:64]  # as LO has it
    data.PatientID = identity.patient_id
    if identity.published_as:
        data.PatientIdentityRemoved = "YES"
        data.DeidentificationMethod = f"As published: {identity.published_as}"
    data.StudyInstanceUID = identity.study_uid
    data.SeriesInstanceUID = identity.series_uid
    _set_pixels(data, picture)
    return data


def _set_pixels(data: Dataset, picture: Picture) -> None:
    data.SamplesPerPixel = 1 if picture.pixels.ndim == 2 else 3
    data.PhotometricInterpretation = picture.photometric
    if picture.pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = picture.pixels.shape[:2]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if picture.jpeg is not None:
        data.file_meta.TransferSyntaxUID, frame = JPEGBaseline8Bit, picture.jpeg
        data.LossyImageCompression = "01"
        data.LossyImageCompressionMethod = "ISO_10918_1"
    else:  # no LossyImageCompression: whether a PNG was a JPEG before, nobody says
        data.file_meta.TransferSyntaxUID, frame = _lossless(picture)
    if data.file_meta.TransferSyntaxUID.is_encapsulated:
        data.PixelData = encapsulate([frame])
        data["PixelData"].is_undefined_length = True
    else:
        data.PixelData = frame + b"\0" * (len(frame) % 2)
    data["PixelData"].VR = "OB"


def _lossless(picture: Picture) -> tuple[UID, bytes]:
    """Return JPEG-LS, a quarter of the pixels in ultrasound; the pixels where they are noise that it would enlarge."""
    raw = picture.pixels.tobytes()
    rows, columns, samples = np.atleast_3d(picture.pixels).shape
    try:
        return JPEGLSLossless, bytes(
            jpeg_ls.encode_buffer(raw, rows, columns, samples, 8, 0, interleave_mode=_BY_PIXEL)
        )
    except RuntimeError:  # its output is no smaller
        return ExplicitVRLittleEndian, raw


def write_image(picture: Picture, identity: Identity, path: Path) -> None:
    """Write a picture in the DICOM File Format, whole or not at all.

    Args:
        picture: what it shows.
        identity: whose it is.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_path(path) as temporary:
        build_dataset(picture, identity).save_as(temporary, enforce_file_format=True)
