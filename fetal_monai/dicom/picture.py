"""PNG and JPEG beside DICOM: a picture opened as an instance is, so that whatever reads frames reads it, too."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fetal_monai.dicom.blame import blame
from fetal_monai.dicom.codestream import inspect_jpeg
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.instance import UltrasoundInstance
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.dicom.metadata import frame_metadata
from fetal_monai.dicom.pixel_layout import PixelLayout
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.closing import Closing

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
COPY_AGAIN = "download or copy it again"
CONVERT = "convert it to PNG or JPEG of 8 bits"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_END_OF_JPEG = b"\xff\xd9"


def is_picture(path: str | PathLike[str]) -> bool:
    """Whether a file begins as a PNG or a JPEG does.

    Args:
        path: a file.

    Returns:
        False also if it cannot be read; then reading it as DICOM will say why.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a FrameRef is a path, but no Path
            return file.read(8).startswith((_PNG, _JPEG))
    except OSError:
        return False


class PictureInstance(Closing):
    """A PNG or JPEG, opened and checked; its pixels are decoded when they are asked for.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Attributes:
        path: the file.
        content: its bytes.
        layout: its size, before an Exif orientation is applied.

    Raises:
        DicomReadError: if it cannot be read, is neither PNG nor JPEG, is too large, or is seen to be damaged.

    Example:
        >>> import tempfile
        >>> path = tempfile.mktemp(suffix=".png")
        >>> _ = cv2.imwrite(path, np.full((2, 4, 3), (255, 0, 7), np.uint8))
        >>> with PictureInstance(path) as picture:
        ...     len(picture), picture.frame(-1)[:, 0, 0].tolist(), picture.metadata(-1)["regions"]
        (1, [7, 0, 255], '[]')
    """

    def __init__(self, path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = fspath(path)
        self._pixels: NDArray[np.uint8] | None = None
        with blame(self.path):
            with open(self.path, "rb") as file:  # noqa: PTH123  # a FrameRef is a path, but no Path
                self.content = file.read(limits.max_frame_bytes + 1)
            if len(self.content) > limits.max_frame_bytes:
                raise Fault(f"it has more than {limits.max_frame_bytes >> 20} MiB", "check that it is a picture")
            rows, columns = check_picture(self.content, limits)
        self.layout = PixelLayout(rows, columns, 1, 3, "RGB", False, 8, 8, 7, False)

    def __len__(self) -> int:
        return 1

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Decode the picture: upright by its Exif orientation, deeper grey and alpha brought to 8-bit RGB.

        Args:
            index: -1 or 0, which both stand for the only frame.

        Returns:
            (3, rows, columns) uint8 RGB; the three values of a pixel are side by side in memory.

        Raises:
            DicomReadError: if another frame is asked for, or the pixels are damaged.
        """
        with blame(self.path, index):
            if index not in {STILL, 0}:
                raise Fault("there is no such frame: a picture has one", "use -1 or 0")
            if self._pixels is None:
                self._pixels = _decode(self.content)
            return self._pixels

    def metadata(self, index: int, *, identifiers: bool = False) -> dict[str, Any]:
        """What an `UltrasoundInstance` without a header would tell: the same keys, and nothing known but the size.

        Args:
            index: as for `frame`.
            identifiers: whether to have the keys that identify the patient; they are empty.

        Returns:
            See `frame_metadata`.

        Raises:
            DicomReadError: as for `frame`.
        """
        _, rows, columns = self.frame(index).shape
        upright = replace(self.layout, rows=rows, columns=columns)
        return frame_metadata(Dataset(), upright, frame=index, identifiers=identifiers)

    def stored(self) -> Iterator[bytes]:
        """The file as it is."""
        yield self.content


Instance: TypeAlias = UltrasoundInstance | PictureInstance


def open_image(path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Instance:
    """Open a DICOM image, a PNG or a JPEG, whatever its name says it is.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Returns:
        An instance, to be used as a context manager.

    Raises:
        DicomReadError: if it is none of them, or damaged.
    """
    try:
        return UltrasoundInstance(path, limits=limits)  # first, for trainings open DICOM by the million
    except DicomReadError:
        if is_picture(path):
            return PictureInstance(path, limits=limits)
        raise


def read_frame(path: str | PathLike[str], frame: int = STILL, *, limits: Limits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Read one frame of a DICOM file, or a PNG or JPEG.

    Args:
        path: the file, or a `FrameRef`, whose frame is then used.
        frame: zero-based frame of a clip, or -1 for a still.
        limits: caps against hostile or broken files.

    Returns:
        (3, rows, columns) uint8 RGB.

    Raises:
        DicomReadError: if the file or the frame cannot be read.
    """
    with open_image(path, limits=limits) as instance:
        return instance.frame(getattr(path, "frame", frame))


def check_picture(content: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Check what can be told without decoding: the kind, the size, checksums and the end.

    Decoders would guess at such damage, or print about it.

    Args:
        content: the file.
        limits: caps.

    Returns:
        Rows and columns as stored.

    Raises:
        Fault: if it is neither PNG nor JPEG, of a rare kind, cut off, damaged, or larger than any scanner's image.
    """
    if content.startswith(_PNG):
        return _check_png(content, limits)
    if content.startswith(_JPEG):
        stream = inspect_jpeg(content)
        if stream.kind != "dct" or stream.precision != 8:
            raise Fault("it is a JPEG of a rare kind", CONVERT)
        _check_size(stream.rows, stream.columns, limits)
        if content.find(_END_OF_JPEG, stream.scan) < 0:
            raise Fault("the JPEG is cut off", COPY_AGAIN)
        return stream.rows, stream.columns
    if not content:
        raise Fault("it is empty", COPY_AGAIN)
    raise Fault(f"it is neither PNG nor JPEG: it begins with {content[:4].hex()}", CONVERT)


def _decode(content: bytes) -> NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise Fault("it is damaged: its pixels cannot be decoded", COPY_AGAIN)
    return np.require(pixels, np.uint8, ("C", "W")).transpose(2, 0, 1)


def _check_size(rows: int, columns: int, limits: Limits) -> None:
    if not 0 < rows < 1 << 16 or not 0 < columns < 1 << 16 or rows * columns > limits.max_frame_pixels:
        raise Fault(f"{rows} x {columns} pixels are no scanner's image", "check where it comes from")


def _check_png(content: bytes, limits: Limits) -> tuple[int, int]:
    position, kind, first = len(_PNG), b"", True
    rows = columns = 0
    while kind != b"IEND":
        if len(content) < position + 12:
            raise Fault("the PNG is cut off", COPY_AGAIN)
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if len(content) < end + 4:
            raise Fault("the PNG is cut off", COPY_AGAIN)
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise Fault("the PNG is damaged: a checksum is wrong", COPY_AGAIN)
        if first:
            if kind != b"IHDR" or length != 13:
                raise Fault("the PNG is damaged: it has no header", COPY_AGAIN)
            columns, rows = struct.unpack_from(">II", content, position + 8)
            _check_size(rows, columns, limits)
            first = False
        position = end + 4
    return rows, columns
