"""Ultrasound files with a region, a name across the rest of the screen, and a name in every part of the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

ROWS, COLUMNS = 120, 176
BOX = slice(40, 104), slice(48, 144)
"""Rows and columns of the region: on the grid of blocks of 8 x 8 and of 16 x 8 pixels."""


def screens(count: int = 2, *, text_at: tuple[int, int] = (4, 24), text: str = "DOE JANE 01.02.1990") -> np.ndarray:
    """(count, rows, columns, 3) uint8: smooth noise in the region, text outside, another text in each frame."""
    rng = np.random.default_rng(1)
    frames = np.zeros((count, ROWS, COLUMNS, 3), np.uint8)
    for index, frame in enumerate(frames):
        cv2.putText(frame, f"{text} {index}", text_at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (196, 204, 208), 1, cv2.LINE_AA)
        noise = cv2.GaussianBlur(rng.integers(0, 256, (*frame[BOX].shape[:2], 3), np.uint8), (0, 0), 2)
        frame[BOX] = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    return frames


def region(rows: slice = BOX[0], columns: slice = BOX[1], **more: Any) -> Dataset:
    """The item of SequenceOfUltrasoundRegions."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = columns.start, rows.start
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = columns.stop - 1, rows.stop - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.05
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


def dataset(frames: np.ndarray, *, jpegs: list[bytes] | None = None, regions: Any = None, **elements: Any) -> Dataset:
    """A data set with pixels, uncompressed or as given."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if jpegs is None else JPEGBaseline8Bit
    data.SOPClassUID, data.Modality = UltrasoundMultiFrameImageStorage, "US"
    data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3.4", "1.2.3", "1.2.3.1"
    data.PatientID, data.PatientName, data.PatientBirthDate = "SECRET-7", "Doe^Jane", "19900201"
    data.StudyDate, data.StudyTime, data.Manufacturer = "20240229", "101112", "Maker"
    data.SequenceOfUltrasoundRegions = Sequence([region()] if regions is None else regions)
    data.NumberOfFrames, data.FrameTime, data.FrameIncrementPointer = len(frames), 40, 0x00181063
    data.Rows, data.Columns = frames.shape[1:3]
    data.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    data.PhotometricInterpretation = "MONOCHROME2" if frames.ndim == 3 else "RGB" if jpegs is None else "YBR_FULL_422"
    if frames.ndim == 4:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * frames.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = frames.tobytes() if jpegs is None else encapsulate(jpegs)
    data["PixelData"].VR = "OB" if frames.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


class Kit:
    """What these tests share."""

    box = BOX
    screens = staticmethod(screens)
    region = staticmethod(region)
    dataset = staticmethod(dataset)

    @staticmethod
    def save(data: Dataset, path: Path) -> Path:
        """Write a data set as a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(path, enforce_file_format=True)
        return path


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
