"""A PNG or JPEG as pixels that DICOM can hold without changing one of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from fetal_monai.dicom.codestream import Codestream, inspect_jpeg
from fetal_monai.dicom.limits import Fault
from fetal_monai.dicom.picture import CONVERT, COPY_AGAIN, check_picture


@dataclass(frozen=True)
class Picture:
    """What a picture shows, and the bytes that may be kept as they are.

    Args:
        pixels: (rows, columns) grey or (rows, columns, 3) RGB, uint8, upright, as OpenCV reads them.
        jpeg: the JPEG Baseline codestream that decodes to `pixels`, without comments and Exif; None: there is none.
        photometric: the colour model of `jpeg`, or of `pixels` where that is None, as DICOM names it.
    """

    pixels: NDArray[np.uint8]
    jpeg: bytes | None
    photometric: str


def read_picture(content: bytes) -> Picture:
    """Decode a PNG or JPEG, whatever its name says it is.

    Args:
        content: the file.

    Returns:
        The picture. Transparency is dropped, as OpenCV does.

    Raises:
        Fault: if it is neither, is damaged or cut off, is larger than any scanner's image, or has more than 8 bits.

    Example:
        >>> _, content = cv2.imencode(".png", np.full((2, 3), 7, np.uint8))
        >>> picture = read_picture(content.tobytes())
        >>> picture.pixels.tolist(), picture.photometric
        ([[7, 7, 7], [7, 7, 7]], 'MONOCHROME2')
    """
    check_picture(content)
    pixels = _decode(content)
    if content.startswith(b"\xff\xd8"):
        stream = inspect_jpeg(content)
        bare = _bare_baseline(content, stream)
        if bare is not None and np.array_equal(_decode_jpeg(bare, pixels.ndim), pixels):
            return Picture(pixels, bare, _jpeg_colours(stream))
        _decode_jpeg(content, 3)  # the strict decoder tells what OpenCV passes over
    return Picture(pixels, None, "MONOCHROME2" if pixels.ndim == 2 else "RGB")


def _decode(content: bytes) -> NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise Fault("it is damaged: its pixels cannot be decoded", COPY_AGAIN)
    if pixels.dtype != np.uint8:
        raise Fault("it has more than the 8 bits a sample that ultrasound DICOM holds", CONVERT)
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[..., ::-1], np.uint8)


def _decode_jpeg(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    try:
        decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "GRAY" if dimensions == 2 else "RGB")
    except ValueError as error:
        raise Fault(f"the JPEG is damaged ({error})", COPY_AGAIN) from None
    return decoded[..., 0] if dimensions == 2 else decoded


def _bare_baseline(content: bytes, stream: Codestream) -> bytes | None:
    """Return a baseline codestream without what is no part of the image: Exif, previews, comments.

    Those may name a person, or show what was cropped from the image.
    """
    kept = [content[:2]]
    position, baseline = 2, False
    while position < stream.scan:
        if content[position + 1] in {0x00, 0x01, 0xFF}:
            return None  # padding between segments: legal, and seen nowhere
        marker, length = struct.unpack_from(">HH", content, position)
        segment = content[position : position + 2 + length]
        baseline |= marker == 0xFFC0
        application = 0xFFE0 <= marker <= 0xFFEF or marker == 0xFFFE
        if not application or (marker, segment[4:9]) in {(0xFFE0, b"JFIF\0"), (0xFFEE, b"Adobe")}:
            kept.append(segment)
        position += 2 + length
    end = content.find(b"\xff\xd9", stream.scan)
    if not baseline or end < 0 or stream.components not in {1, 3}:
        return None
    return b"".join(kept) + content[stream.scan : end + 2]


def _jpeg_colours(stream: Codestream) -> str:
    if stream.components == 1:
        return "MONOCHROME2"
    # 4:2:2 is what DICOM calls JPEG Baseline in YCbCr, however the codestream samples it (PS3.3 C.7.6.3.1.2).
    return "RGB" if stream.ycc is False else "YBR_FULL_422"
