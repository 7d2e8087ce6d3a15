"""How good a frame is as a picture, whatever it shows: sharp, and still. Cheap enough for every frame of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom import UltrasoundInstance
from fetal_monai.dicom.regions import main_picture, regions_from_meta
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.thread_pool import thread_pool

WIDTH = 320  # the detail that counts is the plane's, not the speckle's
SMALL = (64, 48)
HALF_STABLE = 0.02
"""Mean change from frame to frame, as a share of the grey scale, at which a frame counts as half stable."""
_RUN = 16  # frames that one thread measures with the file opened once


@dataclass(frozen=True, eq=False)
class ClipQuality:
    """What the pixels say of each frame of a clip.

    Args:
        sharpness: (T,) see `sharpness`; NaN for frames that cannot be read.
        stability: (T,) 1 where neighbouring frames are the same, 0.5 at `HALF_STABLE`, towards 0 the more they
            change, and as the least stable frame where neither neighbour can be read; NaN for frames that cannot be
            read.
        unreadable: frame -> why.
    """

    sharpness: NDArray[np.float64]
    stability: NDArray[np.float64]
    unreadable: dict[int, str]


def grey_picture(pixels: NDArray[np.uint8], meta: dict[str, Any]) -> NDArray[np.uint8]:
    """The scanner's picture in grey, at a width that all frames share.

    Args:
        pixels: (3, H, W) uint8 RGB.
        meta: what the reader tells; without regions the whole frame is the picture.

    Returns:
        (h, w) uint8, `WIDTH` wide or less.
    """
    region = main_picture(regions_from_meta(meta)) if meta.get("regions") else None
    if region is not None:
        cropped = pixels[:, max(region.top, 0) : region.bottom + 1, max(region.left, 0) : region.right + 1]
        pixels = cropped if cropped.size else pixels
    grey: Any = cv2.cvtColor(np.ascontiguousarray(pixels.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
    return _shrunk(np.asarray(grey, dtype=np.uint8))


def _shrunk(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring a picture to `WIDTH`: first to twice or four times of it, whatever is nearer, then by means of four pixels.

    OpenCV's mean over areas is slow unless the factor is a whole number. This is as sharp, to a tenth whatever the
    width was, and mostly takes a third to two thirds of the time.
    """
    height, width = grey.shape
    if width <= WIDTH:
        return grey
    low = max(1, round(height * WIDTH / width))
    steps = (1,) if width < WIDTH * 2**0.5 else (2, 1) if width < WIDTH * 2**1.5 else (4, 2, 1)
    if width % WIDTH == 0 and width != steps[0] * WIDTH:
        steps = (1,)
    for times in steps:
        way = cv2.INTER_LINEAR if times == steps[0] > 1 else cv2.INTER_AREA
        grey = np.asarray(cv2.resize(grey, (times * WIDTH, times * low), interpolation=way), dtype=np.uint8)
    return grey


def sharpness(grey: NDArray[np.uint8]) -> float:
    """How much of a picture's contrast lies in its finest detail.

    The variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the variance of the picture, so that gain does
    not count. It compares frames of one clip and stills of one scanner; its value alone says little.

    Args:
        grey: (h, w) uint8.

    Returns:
        0 for an even picture, more the sharper it is.

    Example:
        >>> picture = np.zeros((64, 64), np.uint8)
        >>> picture[16:48, 16:48] = 200
        >>> sharpness(picture) > 2 * sharpness(cv2.GaussianBlur(picture, (0, 0), 2))
        True
    """
    detail, contrast = (float(cv2.meanStdDev(values)[1][0, 0]) for values in (cv2.Laplacian(grey, cv2.CV_16S), grey))
    return detail**2 / (contrast**2 + 1.0)


def measure_clip(path: str, frames: int, *, workers: int = 2, tick: Callable[[int], None] | None = None) -> ClipQuality:
    """Decode and measure each frame of a clip; a few are in memory at a time.

    Args:
        path: the file.
        frames: how many it has.
        workers: threads; 0 for none beside the calling one.
        tick: called with the number of frames measured since the last call.

    Returns:
        The measures. Frames that cannot be decoded are told, and stop nothing.
    """
    sharp = np.full(frames, np.nan)
    change = np.full((2, frames), np.nan)  # to the frame before, to the frame after
    unreadable: dict[int, str] = {}
    last: NDArray[np.uint8] | None = None
    starts = range(0, frames, _RUN)
    with thread_pool(workers, "measure") as pool:
        runs = pool.map(lambda start: _measure_run(path, range(start, min(start + _RUN, frames))), starts)
        for start, run in zip(starts, runs, strict=True):
            for index, found in enumerate(run, start=start):
                if isinstance(found, str):
                    unreadable[index], last = found, None
                    continue
                sharp[index], small = found
                if last is not None:
                    change[0, index] = change[1, index - 1] = float(cv2.absdiff(small, last).mean()) / 255
                last = small
            if tick is not None:
                tick(len(run))
    return ClipQuality(sharp, _stability(change, np.isfinite(sharp)), unreadable)


def _stability(change: NDArray[np.float64], readable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T,) from (2, T) changes to the neighbours; a frame with no readable neighbour may be as unsteady as any."""
    known = np.isfinite(change)
    compared = known.any(axis=0)
    mean = np.where(known, change, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    stable: NDArray[np.float64] = 1 / (1 + mean / HALF_STABLE)
    stable[~compared] = stable[compared].min(initial=1.0)
    stable[~readable] = np.nan
    return stable


def _measure_run(path: str, frames: Sequence[int]) -> list[tuple[float, NDArray[np.uint8]] | str]:
    found: list[tuple[float, NDArray[np.uint8]] | str] = []
    try:
        with UltrasoundInstance(path) as instance:
            for index in frames:
                try:
                    grey = grey_picture(instance.frame(index), instance.metadata(index))
                    small = np.asarray(cv2.resize(grey, SMALL, interpolation=cv2.INTER_AREA), dtype=np.uint8)
                    found.append((sharpness(grey), small))
                except DicomReadError as error:
                    found.append(f"{error.cause}; {error.remedy}")
    except DicomReadError as error:
        found += [f"{error.cause}; {error.remedy}"] * (len(frames) - len(found))
    return found
