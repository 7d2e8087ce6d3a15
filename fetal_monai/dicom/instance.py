"""One open DICOM instance: frames on demand, each at the price of one frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.blame import blame
from fetal_monai.dicom.colour import to_rgb8, upsample_422
from fetal_monai.dicom.decoders import (
    NATIVE_SYNTAXES,
    VIDEO_CODECS,
    Samples,
    decode_compressed,
    is_encapsulated,
    unpack,
    unsupported,
)
from fetal_monai.dicom.encapsulation import FrameTable
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.grayscale import to_grey8
from fetal_monai.dicom.header import Header, read_header
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.dicom.metadata import frame_metadata
from fetal_monai.dicom.palette import palette_planes
from fetal_monai.dicom.pixel_layout import HALF_CHROMA, PixelLayout, pixel_layout
from fetal_monai.dicom.video import Video
from fetal_monai.utils.closing import Closing

# glibc gives freed blocks above a threshold back to the kernel, and fetching a frame's pages again costs as much as
# decoding it. Freeing one untouched block below its ceiling of 32 MB raises the threshold for the process's life.
del [np.empty(31 << 20, np.uint8)][:]


class UltrasoundInstance(Closing):
    """A DICOM image file, opened: its header is read, its frames wait.

    Use it as a context manager. It is not meant for two threads at once.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Raises:
        DicomReadError: if the file cannot be opened or is not a DICOM image.
    """

    def __init__(self, path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = fspath(path)
        self._limits = limits
        self._file = cast("io.BufferedReader", None)
        self._video: Video | None = None
        with blame(self.path):
            if Path(self.path).is_dir():
                raise Fault("this is a directory", "give a file; `index_dicom` lists the files of a folder")
            self._file = open(self.path, "rb")  # noqa: PTH123, SIM115  # closed by close()
        try:
            with blame(self.path):
                self.header: Header = read_header(self._file, limits)
                self.layout: PixelLayout = pixel_layout(self.header, limits)
                self._size = self._file.seek(0, io.SEEK_END)
                self._table = self._frame_table()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return self.layout.frames

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Stream the frames, one in memory at a time."""
        return (self.frame(index) for index in range(len(self)))

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Decode one frame.

        Args:
            index: zero-based; -1 (`STILL`) stands for the only frame of a still.

        Returns:
            (3, rows, columns) uint8 RGB, contiguous.

        Raises:
            DicomReadError: if there is no such frame or it cannot be decoded.
        """
        with blame(self.path, index):
            return self._planes(self._checked(index))

    def samples(self, index: int) -> Samples:
        """Decode one frame and stop before colours, palettes and windows: the stored values.

        Args:
            index: as for `frame`.

        Returns:
            The samples.

        Raises:
            DicomReadError: if there is no such frame or it cannot be decoded.
        """
        with blame(self.path, index):
            return self._samples(self._checked(index))

    def compressed(self, index: int) -> bytes:
        """Read one frame of a compressed file and leave it as it is.

        Args:
            index: as for `frame`.

        Returns:
            Its codestream, fragments joined.

        Raises:
            DicomReadError: if there is no such frame, it cannot be read, or the file is not compressed.
        """
        with blame(self.path, index):
            if self._table is None:
                raise Fault("the pixels are not compressed", "use `samples`")
            return self._table.read(self._checked(index))

    def metadata(self, index: int, *, identifiers: bool = False) -> dict[str, Any]:
        """Describe one frame; see `frame_metadata`.

        Raises:
            DicomReadError: if there is no such frame, or the header cannot be understood.
        """
        with blame(self.path, index):
            self._checked(index)
            return frame_metadata(self.header.dataset, self.layout, frame=index, identifiers=identifiers)

    def stored(self) -> Iterator[bytes]:
        """Stream the pixel data of all frames as it is stored, after a line that says how."""
        header = self.header
        yield f"{self.layout} {header.transfer_syntax}".encode()
        header.file.seek(cast("int", header.pixel_offset))
        left = header.pixel_length
        while block := header.file.read(1 << 20 if left is None else min(left, 1 << 20)):
            yield block
            left = None if left is None else left - len(block)

    def is_whole(self) -> bool:
        """Whether all pixel data is there: as long as its frames need, or fragments up to their sequence's end.

        Raises:
            DicomReadError: if the pixel data is damaged otherwise.
        """
        header = self.header
        with blame(self.path):
            if self._table is not None:
                return self._table.ends()
            length = header.pixel_length or 0
            header.file.seek(cast("int", header.pixel_offset) + max(length - 1, 0))
            return 0 < length >= self.layout.least_bytes and len(header.file.read(1)) == 1

    def _checked(self, index: int) -> int:
        frames = self.layout.frames
        if index == STILL and frames > 1:
            raise Fault(
                f"this is a clip of {frames} frames and no frame was asked for", f"name one from 0 to {frames - 1}"
            )
        if not STILL <= index < frames:
            raise Fault(
                f"there is no such frame: the file has {frames}",
                f"use a frame from 0 to {frames - 1}" if frames > 1 else "use -1 or 0 for a still",
            )
        return max(index, 0)

    def _frame_table(self) -> FrameTable | None:
        header = self.header
        if header.transfer_syntax in NATIVE_SYNTAXES:
            if header.pixel_length is None:
                raise Fault("the pixel data is in fragments, but its transfer syntax is uncompressed")
            return None
        if not is_encapsulated(header.transfer_syntax):
            raise unsupported(header.transfer_syntax)
        if header.pixel_length is not None:
            raise Fault("the pixel data is not in fragments, but its transfer syntax is compressed")
        return FrameTable(
            cast("BinaryIO", self._file.raw),
            cast("int", header.pixel_offset),
            self.layout.frames,
            self._size,
            self._limits,
            header.offset_table,
        )

    def _samples(self, index: int) -> Samples:
        if self._table is None:
            return self._native(index)
        if self.header.transfer_syntax in VIDEO_CODECS:
            if self._video is None:
                self._video = Video(
                    self._table.stream(), self.header.transfer_syntax, self.layout, self._limits, self.path
                )
            return self._video.samples(index)
        return decode_compressed(self._table.read(index), self.header.transfer_syntax, self.layout)

    def _planes(self, index: int) -> NDArray[np.uint8]:
        header, samples = self.header, self._samples(index)
        if samples.array.ndim == 3:
            return _channels_first(to_rgb8(samples.array, samples.photometric, samples.bits))
        if samples.photometric == "PALETTE COLOR":
            return palette_planes(samples, header.dataset, little_endian=header.little_endian)
        if samples.photometric not in {"MONOCHROME1", "MONOCHROME2"}:
            raise Fault(f"the photometric interpretation {samples.photometric[:40]!r} is unknown for single samples")
        grey = to_grey8(samples, header.dataset, little_endian=header.little_endian)
        return np.stack([grey, grey, grey])

    def _native(self, index: int) -> Samples:
        layout = self.layout
        if layout.bits_allocated == 1:
            return self._bitmap(index)
        rows, columns, width = layout.rows, layout.columns, layout.bits_allocated // 8
        length = cast("int", self.header.pixel_length)
        full = rows * columns * layout.samples * width
        half = layout.samples == 3 and layout.photometric in HALF_CHROMA and length < full * layout.frames
        size = rows * columns * 2 if half else full
        raw = self._read_native(index * size, size)
        if half:
            if width != 1:
                raise Fault(f"4:2:2 pixels of {layout.bits_allocated} bits are not defined")
            return Samples(upsample_422(raw, rows, columns), layout.photometric, 8, signed=False)
        array = raw.view(f"{'<' if self.header.little_endian else '>'}u{width}")
        if layout.planar:
            array = array.reshape(layout.samples, rows, columns).transpose(1, 2, 0)
        else:
            array = array.reshape((rows, columns, layout.samples) if layout.samples == 3 else (rows, columns))
        return unpack(array.astype(array.dtype.newbyteorder("="), copy=False), layout)

    def _bitmap(self, index: int) -> Samples:
        """One bit a pixel, the lowest first; frames follow each other in the middle of a byte (PS3.5 8.1.1)."""
        layout = self.layout
        pixels = layout.rows * layout.columns
        first, end = index * pixels, (index + 1) * pixels
        raw = self._read_native(first // 8, -(-end // 8) - first // 8)
        bits = np.unpackbits(raw, bitorder="little")[first % 8 :][:pixels]
        return Samples(bits.reshape(layout.rows, layout.columns), layout.photometric, 1, signed=False)

    def _read_native(self, start: int, size: int) -> NDArray[np.uint8]:
        """Bytes of the pixel data."""
        header = self.header
        if start + size > cast("int", header.pixel_length):
            raise Fault(f"the pixel data has {header.pixel_length} bytes, the frame would end at byte {start + size}")
        swapped = not header.little_endian and header.pixel_vr == "OW" and self.layout.bits_allocated <= 8
        odd, end = (start % 2, (start + size) % 2) if swapped else (0, 0)
        header.file.seek(cast("int", header.pixel_offset) + start - odd)
        raw = header.file.read(size + odd + end)
        if len(raw) < size + odd:
            raise Fault("the file is truncated inside the frame", "copy it again from the source")
        data = np.frombuffer(raw, np.uint8)
        if swapped:  # bytes travel in big-endian words (PS3.5 8.1.2)
            data = data[: len(data) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
        return data[odd : odd + size]


def _channels_first(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) seen as (3, H, W): the bytes stay side by side, which is what resizing wants (`transforms.resize`)."""
    return np.require(rgb, requirements=("C", "W")).transpose(2, 0, 1)


def iter_frames(path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Iterator[NDArray[np.uint8]]:
    """Stream the frames of a clip (or the one of a still): one frame is in memory at a time.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Yields:
        (3, rows, columns) uint8 RGB, in order.

    Raises:
        DicomReadError: if the file or a frame cannot be read.
    """
    with UltrasoundInstance(path, limits=limits) as instance:
        yield from instance
