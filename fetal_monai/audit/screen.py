"""Screens taken apart: the anatomy, and what the scanner and the sonographer put around it and over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.inference.inputs import Frame
from fetal_monai.inference.views import loaded_image
from fetal_monai.transforms.banner import REFERENCE_FRACTION
from fetal_monai.transforms.regions import PICTURES, frame_regions
from fetal_monai.transforms.screen_marks import draw_calipers

Mask = NDArray[np.bool_]
AS_IT_IS = "as it is"
ANATOMY_HIDDEN = "anatomy hidden"
SURROUNDINGS_HIDDEN = "surroundings hidden"
EXCHANGED = "surroundings of another class"
CALIPERS = "calipers added"
VARIANTS = (AS_IT_IS, ANATOMY_HIDDEN, SURROUNDINGS_HIDDEN, EXCHANGED, CALIPERS)


def variants(frame: Frame, donor: Frame, seed: int, number: int) -> Iterator[Frame]:
    """Make all screens of one image.

    Args:
        frame: as it was decoded.
        donor: an image of another class.
        seed: of what is random.
        number: of the image, so that each gets calipers of its own.

    Yields:
        A frame for each of `VARIANTS`.
    """
    yield frame
    yield hide_anatomy(frame)
    yield hide_surroundings(frame)
    yield exchange_surroundings(frame, donor)
    yield add_calipers(frame, np.random.RandomState([seed, number]))


def anatomy(frame: Frame) -> Mask:
    """Where a frame shows anatomy: the ultrasound regions that the file declares.

    Args:
        frame: as it was decoded.

    Returns:
        (H, W). A frame that declares no such region is taken for anatomy below the banner.

    Example:
        >>> anatomy(Frame("a.png", None, -1, np.zeros((3, 852, 4), np.uint8)))[66:69, 0].tolist()
        [False, False, True]
    """
    boxes = declared_anatomy(frame)
    shown = np.zeros(frame.pixels.shape[-2:], dtype=bool)
    for top, bottom, left, right in boxes:
        shown[top:bottom, left:right] = True
    if not boxes:
        shown[round(REFERENCE_FRACTION * len(shown)) :] = True
    return shown


def declared_anatomy(frame: Frame) -> list[tuple[int, int, int, int]]:
    """Where the file itself says that anatomy is.

    Args:
        frame: as it was decoded.

    Returns:
        (top, bottom, left, right) of each region, ends excluded; none where it does not say.
    """
    loaded = loaded_image(torch.from_numpy(frame.pixels), frame.meta)
    boxes = [region.clipped(*loaded.shape[-2:]) for region in frame_regions(loaded) if region.kind in PICTURES]
    return [box for box in boxes if box]


def hide_anatomy(frame: Frame) -> Frame:
    """Blacken the anatomy; only what stands around it is left.

    Args:
        frame: as it was decoded.

    Returns:
        A changed copy.
    """
    return _with(frame, np.where(anatomy(frame), 0, frame.pixels))


def hide_surroundings(frame: Frame) -> Frame:
    """Blacken all but the anatomy.

    Args:
        frame: as it was decoded.

    Returns:
        A changed copy.
    """
    return _with(frame, np.where(anatomy(frame), frame.pixels, 0))


def exchange_surroundings(frame: Frame, donor: Frame) -> Frame:
    """Put the anatomy of a frame into the screen of another.

    Args:
        frame: whose anatomy is kept.
        donor: whose surroundings are taken, brought to the size of `frame`; where it shows anatomy, they are black.

    Returns:
        A changed copy of `frame`.
    """
    height, width = frame.pixels.shape[-2:]
    around = np.ascontiguousarray(hide_anatomy(donor).pixels.transpose(1, 2, 0))
    if around.shape[:2] != (height, width):
        around = np.asarray(cv2.resize(around, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return _with(frame, np.where(anatomy(frame), frame.pixels, around.transpose(2, 0, 1)))


def add_calipers(frame: Frame, random: np.random.RandomState) -> Frame:
    """Draw measurements over a frame, at random places.

    Args:
        frame: as it was decoded.
        random: where they are drawn from.

    Returns:
        A changed copy.
    """
    canvas = np.ascontiguousarray(frame.pixels.transpose(1, 2, 0)).copy()
    for _ in range(2):
        draw_calipers(canvas, random)
    return _with(frame, canvas.transpose(2, 0, 1))


def _with(frame: Frame, pixels: NDArray[np.uint8]) -> Frame:
    return replace(frame, pixels=np.ascontiguousarray(pixels, dtype=np.uint8))
