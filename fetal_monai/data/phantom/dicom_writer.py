"""Writing frames as the DICOM that scanners write, with everything in it that says the images are synthetic."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from fetal_monai.data.phantom.geometry import Sector
from fetal_monai.data.phantom.style import Style
from fetal_monai.data.phantom.types import UInt8Array

DATE, TIME = "20000101", "120000"  # constants: the same seed gives the same bytes
COMMENT = "Synthetic phantom made by fetal_monai. Not a patient. Not for clinical use. CC0."
FRAME_TIME_MS = 40.0


def derived_uid(*parts: object) -> UID:
    """Return the UUID-derived UID (PS3.5 B.2) that belongs to `parts`, always the same.

    Example:
        >>> derived_uid("study", 1) == derived_uid("study", 1) != derived_uid("study", 2)
        True
    """
    digest = hashlib.sha256("|".join(["fetal_monai phantom 1", *map(str, parts)]).encode()).digest()
    return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}")


@dataclass(frozen=True)
class Identity:
    """Who and what a file is; nothing here may depend on the plane shown.

    Args:
        patient_id: of the synthetic patient.
        study_uid: its StudyInstanceUID.
        series_uid: its SeriesInstanceUID.
        sop_uid: the SOPInstanceUID.
        number: the InstanceNumber.
        jpeg: JPEG Baseline YBR_FULL_422 if true, else uncompressed RGB.
        clip: Ultrasound Multi-frame Image Storage if true.
    """

    patient_id: str
    study_uid: UID
    series_uid: UID
    sop_uid: UID
    number: int
    jpeg: bool
    clip: bool


def ultrasound_region(sector: Sector, frequency_mhz: float) -> Dataset:
    """Return the item of SequenceOfUltrasoundRegions (PS3.3 C.8.5.5) that calibrates the sector."""
    region = Dataset()
    region.RegionSpatialFormat = 1  # 2D
    region.RegionDataType = 1  # tissue
    region.RegionFlags = 0  # high priority, scaling not protected
    left, top, right, bottom = sector.bounds
    region.RegionLocationMinX0, region.RegionLocationMinY0 = left, top
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = right, bottom
    column, row = sector.face_pixel
    # The reference pixel counts from the region's corner and lies at the middle of the transducer's face.
    region.ReferencePixelX0, region.ReferencePixelY0 = round(column) - left, round(row) - top
    region.ReferencePixelPhysicalValueX = (round(column) - column) * sector.mm_per_pixel / 10
    region.ReferencePixelPhysicalValueY = (round(row) - row) * sector.mm_per_pixel / 10
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = sector.mm_per_pixel / 10
    region.TransducerFrequency = round(frequency_mhz * 1000)  # kHz
    return region


def build_dataset(frames: UInt8Array, identity: Identity, style: Style, sector: Sector) -> Dataset:
    """Return the data set, with file meta information, of an Ultrasound (Multi-frame) Image (PS3.3 A.6, A.7).

    Args:
        frames: (frames, rows, cols, 3) RGB.
        identity: identifiers and format.
        style: names of the synthetic machine.
        sector: the geometry, for the calibrated region.
    """
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if identity.jpeg else ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 100"
    data.ImageType = ["ORIGINAL", "PRIMARY", "OBSTETRICAL", "0001"]
    data.SOPClassUID = UltrasoundMultiFrameImageStorage if identity.clip else UltrasoundImageStorage
    data.SOPInstanceUID = identity.sop_uid
    data.StudyDate = data.ContentDate = DATE
    data.StudyTime = data.ContentTime = TIME
    data.AccessionNumber = ""
    data.Modality = "US"
    data.Manufacturer = "fetal_monai (synthetic)"
    data.ManufacturerModelName = style.model
    data.ReferringPhysicianName = ""
    data.StudyDescription = "SYNTHETIC PHANTOM, not a patient"
    data.SeriesDescription = "SYNTHETIC PHANTOM"
    data.BodyPartExamined = "UTERUS"
    data.PatientName = "SYNTHETIC^PHANTOM"
    data.PatientID = identity.patient_id
    data.PatientBirthDate = ""
    data.PatientSex = "F"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "Never was a patient: synthetic"
    data.SoftwareVersions = "phantom 1"
    data.StudyInstanceUID = identity.study_uid
    data.SeriesInstanceUID = identity.series_uid
    data.StudyID = "1"
    data.SeriesNumber = 1
    data.InstanceNumber = identity.number
    data.PatientOrientation = ""
    data.ImageComments = COMMENT
    data.SequenceOfUltrasoundRegions = Sequence([ultrasound_region(sector, style.frequency_mhz)])
    data.QualityControlImage = "YES"  # PS3.3 C.7.6.1: a quality control or phantom image
    data.BurnedInAnnotation = "NO"  # the burned-in text names no patient
    _set_pixels(data, frames, identity)
    return data


def _set_pixels(data: Dataset, frames: UInt8Array, identity: Identity) -> None:
    data.SamplesPerPixel = 3
    data.PhotometricInterpretation = "YBR_FULL_422" if identity.jpeg else "RGB"
    data.PlanarConfiguration = 0
    data.Rows, data.Columns = frames.shape[1:3]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if identity.clip:
        data.NumberOfFrames = len(frames)
        data.FrameIncrementPointer = 0x00181063  # FrameTime
        data.FrameTime = FRAME_TIME_MS
    if identity.jpeg:
        data.PixelData = encapsulate(
            [simplejpeg.encode_jpeg(frame, quality=90, colorspace="RGB", colorsubsampling="422") for frame in frames]
        )
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.LossyImageCompression = "01"
        data.LossyImageCompressionMethod = "ISO_10918_1"
        # No LossyImageCompressionRatio: it tells how busy the picture is, and so something of its class.
    else:
        data.PixelData = frames.tobytes()
        data["PixelData"].VR = "OB"
        data.LossyImageCompression = "00"


def write_dicom(data: Dataset, path: Path) -> None:
    """Write a data set of `build_dataset` in the DICOM File Format."""
    data.save_as(path, enforce_file_format=True)
