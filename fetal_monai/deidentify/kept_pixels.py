"""Which pixels of a frame may stay: those of the declared ultrasound regions, or all but the banner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.regions import Region

BANNER_FRACTION = 68 / 852
"""Share of the height that the banner takes where no regions leave it out, as `transforms.banner` has it."""

_Box = tuple[int, int, int, int]  # top, bottom, left, right
_MOST = 0.95  # regions that cover more of the frame than this do not tell where the text is


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """What stays of every frame.

    Args:
        mask: (rows, columns) bool, True where pixels stay as they are.
        declared: whether the file's own regions say so, and leave the banner and graphics out; else nobody has looked
            where text is.
    """

    mask: NDArray[np.bool_]
    declared: bool


def kept_pixels(regions: Iterable[Region], rows: int, columns: int, banner: float = BANNER_FRACTION) -> KeptPixels:
    """Find what stays of the frames of a file.

    Args:
        regions: that the file declares. Graphics are not kept, within another region neither: their content is drawn,
            text included. Where they reach across the border of one, the picture stays, and nothing is claimed.
        rows: of a frame.
        columns: of a frame.
        banner: share of the height to blank at the top where no regions are declared, or where they cover the screen
            or reach into these rows: a region with a banner in it does not tell where the text is.

    Returns:
        The pixels that stay.

    Example:
        >>> kept_pixels([Region(1, 1, left=2, top=1, right=3, bottom=2)], 4, 5).mask.astype(int)
        array([[0, 0, 0, 0, 0],
               [0, 0, 1, 1, 0],
               [0, 0, 1, 1, 0],
               [0, 0, 0, 0, 0]])
    """
    mask = np.zeros((rows, columns), bool)
    pictures, graphics = list[_Box](), list[_Box]()
    for region in regions:
        box = region.clipped(rows, columns)
        if box is not None:
            (graphics if region.kind == "graphics" else pictures).append(box)
    for top, bottom, left, right in pictures:
        mask[top:bottom, left:right] = True
    declared = 0 < mask.mean() <= _MOST
    drawn, unclear = np.zeros_like(mask), False
    for box in graphics:
        top, bottom, left, right = box
        if any(_encloses(picture, box) and picture != box for picture in pictures):
            drawn[top:bottom, left:right] = True
        elif mask[top:bottom, left:right].any():
            unclear = True  # which of the two shows in the pixels that they share
    if not declared:
        mask[:] = True
    clean = mask & ~drawn
    if clean.any():
        mask = clean
    else:
        unclear = True
    in_banner = slice(round(banner * rows))
    if declared and not unclear and not mask[in_banner].any():
        return KeptPixels(mask, declared=True)
    mask[in_banner] = False
    return KeptPixels(mask, declared=False)


def _encloses(outer: _Box, inner: _Box) -> bool:
    return outer[0] <= inner[0] and outer[1] >= inner[1] and outer[2] <= inner[2] and outer[3] >= inner[3]
