"""What an image looks like in a few bytes: a perceptual hash finds its likes, a small picture confirms them.

The hash is the 64-bit pHash: the lowest 8 x 8 cosine coefficients of a 32 x 32 picture, above or below their median.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_BITS = 10
MIN_CORRELATION = 0.98
FLAT = 4.0
"""Below this standard deviation of its grey levels an image shows nothing."""

_SMALL, _LOW, _PICTURE = 32, 8, 48
_BLOCK = 2048
_COLOURED = 48  # between a pixel's strongest and weakest channel; JPEG leaves less on grey


@dataclass(frozen=True, eq=False)
class Look:
    """What an image looks like.

    Args:
        bits: (64,) float32, -1 or 1.
        picture: (2304,) uint8, the image in grey at 48 x 48 pixels.
        spread: standard deviation of its grey levels.
        coloured: share of its pixels that are in colour, 0 to 1.
    """

    bits: NDArray[np.float32]
    picture: NDArray[np.uint8]
    spread: float
    coloured: float


def look_at(image: NDArray[np.uint8]) -> Look:
    """Describe an image.

    Args:
        image: (3, rows, columns) uint8 RGB.

    Returns:
        What it looks like.

    Example:
        >>> cells = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        >>> image = cv2.resize(cells, (320, 240), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
        >>> int((look_at(image).bits != look_at(image[:, ::2, ::2]).bits).sum()) <= 2
        True
    """
    colours = np.ascontiguousarray(image.transpose(1, 2, 0))
    grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].ravel()
    bits = np.where(low > np.median(low[1:]), 1, -1).astype(np.float32)
    reduced = cv2.resize(colours, (_PICTURE, _PICTURE), interpolation=cv2.INTER_AREA)
    return Look(
        bits=bits,
        picture=cv2.resize(grey, (_PICTURE, _PICTURE), interpolation=cv2.INTER_AREA).ravel().astype(np.uint8),
        spread=float(grey.std()),
        coloured=float((np.ptp(reduced, axis=2) > _COLOURED).mean()),
    )


def alike(looks: list[Look]) -> Iterator[tuple[int, int]]:
    """Find pairs that show the same: at most 10 of 64 bits differ, and the small pictures correlate by 0.98.

    Args:
        looks: of all images.

    Yields:
        Positions, the lower first. Images that show nothing are like nothing.
    """
    if not looks:
        return
    bits = np.stack([look.bits for look in looks])
    for start in range(0, len(looks), _BLOCK):
        agreement = bits[start : start + _BLOCK] @ bits[start:].T
        for row, column in np.argwhere(agreement >= bits.shape[1] - 2 * MAX_BITS):
            if row < column and _same_picture(looks[start + row], looks[start + column]):
                yield int(start + row), int(start + column)


def _same_picture(one: Look, other: Look) -> bool:
    if min(one.spread, other.spread) < FLAT:
        return False
    return bool(np.corrcoef(one.picture, other.picture)[0, 1] >= MIN_CORRELATION)
