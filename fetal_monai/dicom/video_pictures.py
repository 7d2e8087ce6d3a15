"""What a compressed video picture says of its place in time: from its first bytes, nothing is decoded.

MPEG-2: ITU-T H.262 6.2.3 and 6.3.8; H.264: 7.4.1; HEVC: H.265 7.4.2.2 and 3.81 ("leading picture").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

_PREFIX = b"\0\0\1"


class Picture(Enum):
    """The place of a picture, given those that were sent before it."""

    KEY = "decoding can begin here"
    LEADING = "sent after its key picture and shown before it"
    SKIPPED = "leading, and not decodable where decoding begins at its key picture"
    OTHER = "shown in its turn"


@dataclass
class PictureOrder:
    """Which pictures can be jumped to, and which place in the order of showing they have.

    The place of a key picture is the number of pictures sent before it, and of those sent after it that lead it.

    Args:
        codec: "mpeg2video", "h264" or "hevc".
    """

    codec: str
    shown: int = 0
    """Pictures so far that a decoder shows."""
    sent: int = 0
    """Pictures so far."""
    keys: dict[int, int] = field(default_factory=dict)
    """Ordinal of each key picture in the order of sending -> its place in the order of showing."""
    _key: int | None = None  # the key picture, as long as pictures that lead it may come
    _broken: bool = True  # whether what leads it cannot be decoded

    def add(self, data: bytes) -> None:
        """Take in the next picture in the order of sending."""
        picture, leads_decode = _CLASSIFY[self.codec](data)
        if picture is Picture.KEY:
            self._broken = not self.keys if leads_decode is None else not leads_decode
            self._key = self.sent
            self.keys[self.sent] = self.shown
        elif picture is Picture.OTHER:
            self._key = None
        leads = self._key is not None and picture is not Picture.KEY
        if self.keys and not (leads and self._broken and picture is Picture.SKIPPED):
            self.shown += 1
            if self._key is not None and leads:
                self.keys[self._key] += 1
        self.sent += 1


def _mpeg2(data: bytes) -> tuple[Picture, bool | None]:
    at = data.find(_PREFIX + b"\0")
    kind = data[at + 5] >> 3 & 7 if 0 <= at <= len(data) - 6 else 0
    if kind == 1:
        group = data.find(_PREFIX + b"\xb8", 0, at)
        return Picture.KEY, True if group >= 0 and data[group + 7] & 0x40 else None
    return (Picture.SKIPPED if kind == 3 else Picture.OTHER), None


def _h264(data: bytes) -> tuple[Picture, bool | None]:
    kind = _first_slice(data, lambda head: head & 0x1F, range(1, 6))
    return (Picture.KEY if kind == 5 else Picture.OTHER), None


def _hevc(data: bytes) -> tuple[Picture, bool | None]:
    kind = _first_slice(data, lambda head: head >> 1 & 0x3F, range(32))
    if 16 <= kind < 24:
        return Picture.KEY, False if kind < 19 else None
    leading = Picture.LEADING if kind in {6, 7} else Picture.SKIPPED if kind in {8, 9} else Picture.OTHER
    return leading, None


def _first_slice(data: bytes, kind_of: Callable[[int], int], slices: range) -> int:
    """The type of the first NAL unit that carries picture data, or -1."""
    at = data.find(_PREFIX)
    while 0 <= at < len(data) - 3:
        kind = kind_of(data[at + 3])
        if kind in slices:
            return kind
        at = data.find(_PREFIX, at + 3)
    return -1


_CLASSIFY = {"mpeg2video": _mpeg2, "h264": _h264, "hevc": _hevc}
