"""PNG and JPEG beside DICOM: a picture opened as an instance is, so that whatever reads frames reads it, too."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.header import PixelLayout
from fetal_monai.dicom.instance import UltrasoundInstance
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Limits
from fetal_monai.dicom.metadata import frame_metadata
from fetal_monai.errors import DicomReadError

if TYPE_CHECKING:
    from typing_extensions import Self

PICTURE_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def is_picture(path: str | PathLike[str]) -> bool:
    """Whether a file begins as a PNG or a JPEG does.

    Args:
        path: a file.

    Returns:
        False also if it cannot be read; then reading it as DICOM will say why.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a FrameRef is a path, but no Path
            return file.read(8).startswith(PICTURE_MAGICS)
    except OSError:
        return False


class PictureInstance:
    """A PNG or JPEG, opened: the interface of `UltrasoundInstance` for what is a still without a header.

    Deeper grey and transparency are brought to 8-bit RGB, and a photograph's Exif orientation is applied, as OpenCV
    does. It is decoded when it is opened: nothing else tells its size.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Raises:
        DicomReadError: if it cannot be read or decoded.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.png")
        >>> _ = cv2.imwrite(str(path), np.full((2, 3, 3), (0, 0, 255), np.uint8))
        >>> with PictureInstance(path) as picture:
        ...     picture.frame(-1)[:, 0, 0].tolist(), len(picture), picture.metadata(-1)["regions"]
        ([255, 0, 0], 1, '[]')
    """

    def __init__(self, path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = fspath(path)
        try:
            self._content = Path(self.path).read_bytes()
            bgr = cv2.imdecode(np.frombuffer(self._content, np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error) as error:
            cause = f"it cannot be read ({str(error).strip()})"
            raise DicomReadError(self.path, cause, "check the path and its rights") from error
        if bgr is None:
            raise DicomReadError(self.path, "it is a damaged PNG or JPEG", "export it again")
        rows, columns = bgr.shape[:2]
        if rows * columns > limits.max_frame_pixels:
            raise DicomReadError(self.path, f"{rows} x {columns} pixels are above the limit", "export it smaller")
        self._pixels = np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1), dtype=np.uint8)
        self.layout = PixelLayout(rows, columns, 1, 3, "RGB", False, 8, 8, 7, False)

    def close(self) -> None:
        """Nothing is open any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return 1

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Give the picture.

        Args:
            index: -1 or 0.

        Returns:
            (3, rows, columns) uint8 RGB, contiguous.

        Raises:
            DicomReadError: for any other frame.
        """
        if index not in (STILL, 0):
            raise DicomReadError(self.path, f"there is no frame {index}: a picture has one", "use -1 or 0")
        return self._pixels

    def metadata(self, index: int, *, identifiers: bool = False) -> dict[str, Any]:
        """Describe it: the keys of `frame_metadata`, of which a picture knows its size alone."""
        self.frame(index)
        return frame_metadata(Dataset(), self.layout, frame=index, identifiers=identifiers)

    def stored(self) -> Iterator[bytes]:
        """The file as it is."""
        yield self._content


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
    return PictureInstance(path, limits=limits) if is_picture(path) else UltrasoundInstance(path, limits=limits)


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
