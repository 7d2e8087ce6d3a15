"""Three samples of any colour model to 8-bit RGB (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.limits import Fault


def _to_rgb(red: float, blue: float, *, full: bool) -> NDArray[np.float64]:
    """Rows give R, G, B of 8 bits from (Y, Cb, Cr, 1), in full range or in that of studio video.

    Args:
        red: share of red in the luma.
        blue: share of blue.
        full: whether luma and chroma use all of 0 to 255.
    """
    green = 1 - red - blue
    chroma = np.array(
        [[0.0, 2 * (1 - red)], [-2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green], [2 * (1 - blue), 0.0]]
    )
    luma, scale, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16 * 255 / 219)
    return np.column_stack([np.full(3, luma), chroma * scale, -128 * scale * chroma.sum(1) - black])


_BT601 = (0.299, 0.114)
_FULL = _to_rgb(*_BT601, full=True)
_PARTIAL = _to_rgb(*_BT601, full=False)
_MATRICES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Of ITU-T H.273 MatrixCoefficients: BT.709, FCC, SMPTE 240M, BT.2020. All else is BT.601, as in PS3.3."""


def to_rgb8(samples: NDArray[Any], photometric: str, bits: int) -> NDArray[np.uint8]:
    """Convert three-sample pixels to 8-bit RGB.

    Args:
        samples: (H, W, 3) unsigned integers, Y Cb Cr or R G B.
        photometric: RGB, YBR_FULL, YBR_FULL_422, YBR_PARTIAL_422 or YBR_PARTIAL_420 (chroma already upsampled).
        bits: bits that carry the value; deeper ones are scaled so that full scale becomes 255.

    Returns:
        (H, W, 3) uint8.

    Raises:
        Fault: for a colour model that is not one of these.

    Example:
        >>> to_rgb8(np.array([[[66, 128, 128]]], np.uint8), "YBR_FULL", 8)
        array([[[66, 66, 66]]], dtype=uint8)
    """
    if bits != 8 or samples.dtype != np.uint8:
        full = (1 << bits) - 1
        samples = ((samples.astype(np.uint64) * 255 + full // 2) // full).clip(0, 255).astype(np.uint8)
    if photometric == "RGB":
        return samples
    if photometric in {"YBR_FULL", "YBR_FULL_422"}:
        matrix = _FULL
    elif photometric in {"YBR_PARTIAL_422", "YBR_PARTIAL_420"}:
        matrix = _PARTIAL
    else:
        raise Fault(f"the photometric interpretation {photometric[:40]!r} is unknown for these pixels")
    return _transformed(samples.astype(np.float32), matrix)


def video_to_rgb8(ycc: NDArray[Any], bits: int, *, matrix: int, full: bool) -> NDArray[np.uint8]:
    """Convert video to 8-bit RGB as its own headers say.

    Args:
        ycc: (H, W, 3) unsigned integers, Y Cb Cr.
        bits: bits that carry the value.
        matrix: MatrixCoefficients of ITU-T H.273; BT.601, DICOM's own, where it is 2 (unspecified).
        full: whether values use the whole range; else that of studio video.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> video_to_rgb8(np.array([[[235, 128, 128]]], np.uint8), 8, matrix=2, full=False)
        array([[[255, 255, 255]]], dtype=uint8)
    """
    values = ycc.astype(np.float32)
    if bits > 8:
        values *= 255 / ((1 << bits) - 1) if full else 1 / (1 << (bits - 8))
    return _transformed(values, _to_rgb(*_MATRICES.get(matrix, _BT601), full=full))


def _transformed(values: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    exact = cv2.transform(values, matrix)  # on bytes OpenCV would round the matrix to 10 bits
    return np.rint(exact, out=exact).clip(0, 255, out=exact).astype(np.uint8)


def upsample_422(raw: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Unfold uncompressed 4:2:2 pixels, stored as Y1 Y2 Cb Cr for each pair (PS3.3 C.7.6.3.1.2).

    Args:
        raw: rows x columns x 2 bytes.
        rows: height in pixels.
        columns: width in pixels, even.

    Returns:
        (rows, columns, 3) uint8, Y Cb Cr, each chroma sample used for both pixels of its pair.

    Example:
        >>> upsample_422(np.array([10, 20, 1, 2], np.uint8), 1, 2)
        array([[[10,  1,  2],
                [20,  1,  2]]], dtype=uint8)
    """
    if columns % 2:
        raise Fault(f"4:2:2 pixels need an even number of columns, not {columns}")
    quads = raw.reshape(rows, columns // 2, 4)
    pixels = np.empty((rows, columns // 2, 2, 3), np.uint8)
    pixels[..., 0] = quads[..., :2]
    pixels[..., 1:] = quads[..., None, 2:]
    return pixels.reshape(rows, columns, 3)


def upsample_420(luma: NDArray[Any], blue: NDArray[Any], red: NDArray[Any]) -> NDArray[Any]:
    """Give every pixel of 4:2:0 video its chroma: linear between samples.

    Args:
        luma: (rows, columns) uint8 or uint16.
        blue: (ceil(rows / 2), ceil(columns / 2)); samples lie between two lines and at every other pixel of a line,
            which is where MPEG-2, H.264 and HEVC put them unless they say otherwise.
        red: likewise.

    Returns:
        (rows, columns, 3), Y Cb Cr.

    Example:
        >>> chroma = np.array([[10, 20]], np.uint8)
        >>> upsample_420(np.zeros((2, 4), np.uint8), chroma, chroma)[0, :, 1]
        array([10, 15, 20, 20], dtype=uint8)
    """
    rows, columns = luma.shape
    pixels = np.empty((rows, columns, 3), luma.dtype)
    pixels[..., 0] = luma
    for channel, plane in ((1, blue), (2, red)):
        tall = cv2.resize(plane, (plane.shape[1], 2 * plane.shape[0]), interpolation=cv2.INTER_LINEAR)[:rows]
        pixels[:, 0::2, channel] = tall
        following = np.concatenate([tall[:, 1:], tall[:, -1:]], axis=1)
        between = (tall.astype(np.uint32) + following + 1) >> 1
        pixels[:, 1::2, channel] = between[:, : columns // 2]
    return pixels
