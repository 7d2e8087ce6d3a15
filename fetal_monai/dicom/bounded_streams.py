"""Bytes of a DICOM file: bounded reads of the header, and inflation as far as it is needed."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from fetal_monai.dicom.limits import Fault, Limits

_CHUNK = 1 << 16


class HeaderReader:
    """The part of a file object that pydicom's parser uses, with a budget.

    Args:
        file: the open file, positioned at the data set.
        limits: caps on the size of one element and on their number.
    """

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._read = file.read
        self._limits = limits
        self._reads = 0
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fail when the header asks for more than any header needs."""
        self._reads += 1
        if not 0 <= size <= self._limits.max_element_bytes:
            raise Fault(
                f"a header element claims {size} bytes, above the limit of {self._limits.max_element_bytes}",
                "the header is damaged; or raise Limits.max_element_bytes",
            )
        if self._reads > 3 * self._limits.max_header_elements:
            raise Fault(
                f"the header has more than {self._limits.max_header_elements} elements",
                "the header is damaged; or raise Limits.max_header_elements",
            )
        return self._read(size)


class InflatingReader(io.RawIOBase):
    """A raw stream of the data set of a Deflated Explicit VR Little Endian file (PS3.5 A.5).

    It holds one chunk at a time: seeking forward inflates and forgets, seeking backward starts again.

    Args:
        file: the open file.
        start: offset of the deflated bytes.
        limits: the cap on the inflated size, against a bomb.
    """

    def __init__(self, file: BinaryIO, start: int, limits: Limits) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._limits = limits
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(self._start)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._position = 0

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can be sought in: always, at the price of inflating."""
        return True

    def tell(self) -> int:
        """The position in the inflated stream."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset` from the start or from here, or to the end of the stream if that comes first."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of a deflated stream is not known")
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._rewind()
        while self._position < target:
            if not self._inflate(min(_CHUNK, target - self._position)):
                break
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as the stream goes."""
        data = self._inflate(min(len(buffer), _CHUNK))
        buffer[: len(data)] = data
        return len(data)

    def _inflate(self, size: int) -> bytes:
        while not self._inflater.eof:
            pending = self._inflater.unconsumed_tail or self._file.read(_CHUNK)
            data = self._inflater.decompress(pending, size)
            self._position += len(data)
            if self._position > self._limits.max_inflated_bytes:
                raise Fault(
                    f"the deflated file unfolds to more than {self._limits.max_inflated_bytes} bytes",
                    "it may be a decompression bomb; or raise Limits.max_inflated_bytes",
                )
            if data or not pending:
                return data
        return b""
