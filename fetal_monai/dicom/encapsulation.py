"""Where one compressed frame lies: offset tables and fragments (PS3.5 A.4), read without decoding anything."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

from fetal_monai.dicom.fragments import FragmentStream
from fetal_monai.dicom.limits import Fault, Limits

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"
# A frame is a fragment or a few, and video is cut anyhow. Empty ones cost their sender little, and us a microsecond.
_FRAGMENTS_OF_A_FRAME, _MORE_FRAGMENTS, _MOST_FRAGMENTS = 64, 1 << 16, 1 << 20
_TRUNCATED = "the file is truncated"
_COPY_AGAIN = "copy it again from the source"
# First bytes of a frame: JPEG and JPEG-LS, JPEG 2000 codestream and JP2 box, JPEG XL codestream and box. RLE has none
# and is one fragment per frame.
_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\x00\x00\x00\x0cjP", b"\xff\x0a", b"\x00\x00\x00\x0cJX")


@dataclass
class FrameTable:
    """The fragments of every frame of one encapsulated pixel data element.

    The table is built at the first frame and kept, so that a clip is scanned once. It holds offsets only.

    Args:
        file: the open file, unbuffered: 600 headers of 8 bytes are not worth 600 full buffers.
        offset: where the value of PixelData begins: the Basic Offset Table item.
        frames: NumberOfFrames.
        size: the file's size in bytes.
        limits: the cap on the bytes of a frame.
        extended: (offset, length) of the Extended Offset Table's value, if there is one.
    """

    file: BinaryIO
    offset: int
    frames: int
    size: int
    limits: Limits
    extended: tuple[int, int] | None = None
    _starts: list[int] | None = field(default=None, repr=False)

    def read(self, frame: int) -> bytes:
        """The compressed bytes of one frame, its fragments joined.

        Args:
            frame: zero-based.

        Returns:
            The bytes.

        Raises:
            Fault: if the frame is not there, or not whole.
        """
        if self._starts is None:
            self._starts = self._locate()
        if frame >= len(self._starts):
            raise Fault(
                f"NumberOfFrames is {self.frames} but only {len(self._starts)} frames are in the file", _COPY_AGAIN
            )
        end = self._starts[frame + 1] if frame + 1 < len(self._starts) else None
        parts: list[bytes] = []
        total = 0
        position = self._starts[frame]
        while end is None or position < end:
            length = self._item(position)
            if length is None:
                break
            total += length
            if total > self.limits.max_frame_bytes:
                raise Fault(
                    f"the compressed frame exceeds the limit of {self.limits.max_frame_bytes} bytes",
                    "the file is damaged; or raise Limits.max_frame_bytes",
                )
            if position + 8 + length > self.size:
                raise Fault(f"{_TRUNCATED} inside the frame", _COPY_AGAIN)
            self.file.seek(position + 8)
            parts.append(self.file.read(length))
            position += 8 + length
        if not total:
            raise Fault("the frame is empty")
        return b"".join(parts)

    def stream(self) -> FragmentStream:
        """All fragments as one stream, as video is kept: its frames have no places of their own.

        Returns:
            The stream.

        Raises:
            Fault: if there are no fragments.
        """
        spans = list(self._fragments(self._first(self._table_length())))
        if not spans:
            raise Fault("the pixel data is empty")
        return FragmentStream(self.file, [(position + 8, length) for position, length in spans], self.size)

    def ends(self) -> bool:
        """Whether the last fragment is followed by the end of the sequence: nothing is cut off.

        Raises:
            Fault: if the value is not made of fragments.
        """
        position = self._first(self._table_length())
        for start, length in self._fragments(position):
            position = start + 8 + length
        self.file.seek(position)
        return self.file.read(4) == _SEQUENCE_END

    def _item(self, position: int) -> int | None:
        """Length of the item at `position`; None at the sequence's end or where the file ends."""
        self.file.seek(position)
        head = self.file.read(8)
        if len(head) < 8 or head[:4] == _SEQUENCE_END:
            return None
        if head[:4] != _ITEM:
            raise Fault("the compressed pixel data is not made of items")
        return int(struct.unpack("<L", head[4:])[0])

    def _table_length(self) -> int:
        table = self._item(self.offset)
        if table is None:
            raise Fault(f"{_TRUNCATED} before its first frame", _COPY_AGAIN)
        return table

    def _first(self, table: int) -> int:
        """Where the first fragment lies, behind a Basic Offset Table of so many bytes."""
        first = self.offset + 8 + table
        if first > self.size:
            raise Fault(f"{_TRUNCATED} in its offset table", _COPY_AGAIN)
        return first

    def _locate(self) -> list[int]:
        table = self._table_length()
        first = self._first(table)
        for offsets in (self._extended_table(), self._basic_table(table)):
            starts = [first + value for value in offsets]
            if len(starts) == self.frames and starts[0] == first and self._are_items(starts):
                return starts
        return [first] if self.frames == 1 else self._scan(first)

    def _extended_table(self) -> list[int]:
        if self.extended is None or self.extended[1] != 8 * self.frames:
            return []
        self.file.seek(self.extended[0])
        data = self.file.read(self.extended[1])
        return list(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))

    def _basic_table(self, length: int) -> list[int]:
        if length != 4 * self.frames:
            return []
        self.file.seek(self.offset + 8)
        data = self.file.read(length)
        return list(struct.unpack(f"<{len(data) // 4}L", data[: len(data) // 4 * 4]))

    def _are_items(self, starts: list[int]) -> bool:
        """Whether every offset points at an item: a table that lies is not used."""
        if any(later <= earlier for earlier, later in pairwise(starts)):
            return False
        for start in starts:
            self.file.seek(start)
            if self.file.read(4) != _ITEM:
                return False
        return True

    def _fragments(self, position: int) -> Iterator[tuple[int, int]]:
        """Where each fragment's item begins, and the length of its value."""
        for count in itertools.count(1):
            length = self._item(position) if position < self.size else None
            if length is None:
                return
            if count > min(_FRAGMENTS_OF_A_FRAME * self.frames + _MORE_FRAGMENTS, _MOST_FRAGMENTS):
                raise Fault("the pixel data has absurdly many fragments")
            yield position, length
            position += 8 + length

    def _scan(self, first: int) -> list[int]:
        """Find the frames from the fragments alone: one each, or else by the marker that a frame begins with."""
        fragments: list[int] = []
        begins: list[bool] = []
        for position, _ in self._fragments(first):
            fragments.append(position)
            begins.append(self.file.read(6).startswith(_STARTS))
        if len(fragments) <= self.frames:
            return fragments
        starts = [fragment for fragment, begin in zip(fragments, begins, strict=True) if begin]
        if len(starts) != self.frames:
            raise Fault(
                f"NumberOfFrames is {self.frames}, there are {len(fragments)} fragments and no usable offset table",
                "rewrite the file with a basic offset table, for example with dcmtk's dcmconv or dcmcjpeg",
            )
        return starts
