"""Three samples of any colour model to 8-bit RGB (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.limits import Fault

# Rows give R, G, B from (Y, Cb, Cr, 1): ITU-R BT.601, full range, and with the range of studio video.
_FULL = np.array(
    [
        [1.0, 0.0, 1.402, -1.402 * 128],
        [1.0, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587, (0.114 * 1.772 + 0.299 * 1.402) / 0.587 * 128],
        [1.0, 1.772, 0.0, -1.772 * 128],
    ]
)
_PARTIAL = np.column_stack(
    [
        _FULL[:, 0] * 255 / 219,
        _FULL[:, 1:3] * 255 / 224,
        _FULL[:, 3] * 255 / 224 - 16 * 255 / 219,
    ]
)


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
    exact = cv2.transform(samples.astype(np.float32), matrix)  # on bytes OpenCV would round the matrix to 10 bits
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
