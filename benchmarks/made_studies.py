"""Studies made of real stills: stills as they are, and clips in which they come and go, with the truth beside them.

A clip shows some stills of one patient one after the other, each for a while, zooming and drifting, with changing gain
and noise; between them the probe is on its way: one still fades into another far out of place, or nothing is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pydicom
import simplejpeg
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage, generate_uid

from fetal_monai.dicom import read_frame

FRAME_TIME_MS = 33
QUALITY = 90
SIZE = (480, 640)
PAUSE = (10, 25)  # frames between two planes
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """A still in a clip: its class, and the frames between which it is fully there."""

    plane: str
    first: int
    last: int


def picture(path: Path, size: tuple[int, int] = SIZE) -> Picture:
    """A still as (H, W, 3), brought to a size with its proportions kept."""
    image = np.ascontiguousarray(read_frame(path).transpose(1, 2, 0))
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - small.shape[0]) // 2, (size[1] - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def warped(image: Picture, zoom: float, shift: tuple[float, float], blur: float = 0.0) -> Picture:
    """The picture with the probe elsewhere."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0.0, zoom)
    matrix[:, 2] += np.array(shift) * (width, height)
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), blur) if blur > 0.3 else moved, dtype=np.uint8)


def sweep(
    stills: Sequence[tuple[str, Picture]], frames: int, rng: np.random.Generator, *, held: tuple[int, int] = (24, 70)
) -> tuple[list[Picture], list[Shown]]:
    """Frames of a clip, and what they show. `stills` come round again while there is time; none is cut."""
    pictures: list[Picture] = []
    shown: list[Shown] = []
    turn = 0
    while len(pictures) + PAUSE[1] + held[1] <= frames:
        plane, image = stills[turn % len(stills)]
        turn += 1
        pictures += _between(image, int(rng.integers(*PAUSE)), rng)
        length = int(rng.integers(*held))
        shown.append(Shown(plane, len(pictures), len(pictures) + length - 1))
        pictures += _held(image, length, rng)
    return pictures + _between(stills[0][1], frames - len(pictures), rng), shown


def _held(image: Picture, length: int, rng: np.random.Generator) -> list[Picture]:
    """The plane: slow drift and zoom, gain up and down, noise; sharpest somewhere in the middle."""
    zoom, drift = rng.uniform(0.95, 1.12, 2), rng.uniform(-0.03, 0.03, (2, 2))
    gain, sharp_at = rng.uniform(0.85, 1.15, 2), rng.uniform(0.2, 0.8)
    frames = []
    for step in np.linspace(0, 1, length):
        moved = warped(
            image,
            float(np.interp(step, [0, 1], zoom)),
            tuple(drift[0] + step * (drift[1] - drift[0])),
            2.0 * abs(step - sharp_at),
        )
        noise = rng.normal(0, 3, moved.shape[:2])[..., None]
        frames.append(np.clip(moved * np.interp(step, [0, 1], gain) + noise, 0, 255).astype(np.uint8))
    return frames


def _between(image: Picture, length: int, rng: np.random.Generator) -> list[Picture]:
    """No plane: speckle and shadow of a probe on its way, coming from far out of place."""
    height, width = image.shape[:2]
    side = rng.choice([-1.0, 1.0], 2)
    frames = []
    for step in np.linspace(0, 1, length):
        field = rng.rayleigh(20, (height // 8, width // 8)).astype(np.float32)
        haze = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
        away = warped(image, 2.5, (side[0] * (0.9 - 0.2 * step), side[1] * (0.6 - 0.1 * step)), 6.0)
        frames.append(np.clip(0.6 * haze + 0.4 * away, 0, 255).astype(np.uint8))
    return frames


def write_clip(frames: Sequence[Picture], like: Path, out: Path, *, series: str) -> Dataset:
    """Write frames as an ultrasound multi-frame instance of the patient and study of a still."""
    header = pydicom.dcmread(like, stop_before_pixels=True)
    data = Dataset()
    data.update(
        {element.tag: element for element in header if element.tag.group < 0x0028 and element.tag != 0x00186011}
    )
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    data.SeriesInstanceUID = series
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.Rows, data.Columns = frames[0].shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.NumberOfFrames, data.FrameTime = len(frames), FRAME_TIME_MS
    data.FrameIncrementPointer = 0x00181063
    data.LossyImageCompression = "01"
    encoded = [simplejpeg.encode_jpeg(np.ascontiguousarray(frame), QUALITY, "RGB", "422") for frame in frames]
    data.PixelData = encapsulate(encoded)
    data["PixelData"].VR = "OB"
    out.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(out, enforce_file_format=True)
    return data
