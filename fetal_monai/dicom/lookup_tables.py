"""Lookup tables as DICOM stores them: a descriptor and data, in whatever value representation the writer chose."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.limits import Fault


@dataclass(frozen=True)
class Descriptor:
    """Three numbers that open every table (PS3.3 C.11.1.1, C.7.6.3.1.5).

    Args:
        entries: number of entries, 65536 stored as 0.
        first: the input value that the first entry answers.
        bits: bits of an entry.
    """

    entries: int
    first: int
    bits: int


def read_descriptor(value: Any, *, signed: bool, little_endian: bool) -> Descriptor:
    """Read a descriptor from what pydicom made of it: three integers, or bytes.

    Raises:
        Fault: if it is not three numbers.
    """
    if isinstance(value, bytes) and len(value) >= 6:
        value = struct.unpack_from("<3H" if little_endian else ">3H", value)
    try:
        entries, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise Fault("a lookup table has no usable descriptor") from None
    entries &= 0xFFFF
    if signed:
        first = ((first & 0xFFFF) ^ 0x8000) - 0x8000
    if not 1 <= bits <= 16:
        raise Fault(f"a lookup table claims entries of {bits} bits")
    return Descriptor(entries or 65536, first, bits)


def read_table(value: Any, descriptor: Descriptor, *, little_endian: bool) -> NDArray[np.uint16]:
    """Read the entries: bytes, or words, or words that hold two bytes each.

    Raises:
        Fault: if there are fewer than the descriptor says.
    """
    count = descriptor.entries
    if not isinstance(value, bytes):
        words = np.asarray(value, dtype=np.int64).reshape(-1) & 0xFFFF
    elif len(value) >= 2 * count:
        words = np.frombuffer(value[: 2 * count], "<u2" if little_endian else ">u2")
    else:
        words = np.frombuffer(value, np.uint8)
        if not little_endian and len(words) % 2 == 0:
            words = words.reshape(-1, 2)[:, ::-1].reshape(-1)
    if len(words) < count:
        raise Fault(f"a lookup table has {len(words)} of its {count} entries")
    return words[:count].astype(np.uint16)


def expand_segments(value: bytes, *, little_endian: bool, eight_bit: bool) -> list[int]:
    """Unfold a segmented palette (PS3.3 C.7.9.2): discrete, linear and indirect segments.

    Args:
        value: the segmented data.
        little_endian: its byte order.
        eight_bit: whether entries are bytes rather than words.

    Returns:
        The entries, at most 65536.

    Raises:
        Fault: if a segment is of an unknown kind, incomplete, or too much.
    """
    kind = np.dtype(np.uint8) if eight_bit else np.dtype("<u2" if little_endian else ">u2")
    words = np.frombuffer(value[: len(value) // kind.itemsize * kind.itemsize], kind).tolist()
    out: list[int] = []
    position = 0
    while position + 2 < len(words) and len(out) <= 65536:
        position = _segment(words, position, out)
    if len(out) > 65536:
        raise Fault("a segmented palette unfolds to more than 65536 entries")
    return out


def _segment(words: list[int], position: int, out: list[int]) -> int:
    """Unfold the direct or indirect segment at `position`; where the next one begins."""
    kind, length = words[position : position + 2]
    if kind == 2:  # copy `length` earlier segments, found at a byte offset in two halves
        width = 4 if max(words) <= 255 and len(words) > position + 5 else 2
        return _indirect(words, position, out, length, width)
    return _direct(words, position, out)


def _direct(words: list[int], position: int, out: list[int]) -> int:
    kind, length = words[position : position + 2]
    if kind == 0:
        entries = words[position + 2 : position + 2 + length]
        if len(entries) != length:
            raise Fault("a segmented palette ends inside a segment")
        out.extend(entries)
        return position + 2 + length
    if kind == 1 and position + 2 < len(words):
        if not out:
            raise Fault("a segmented palette begins with a linear segment")
        last, target = out[-1], words[position + 2]
        out.extend(round(value) for value in np.linspace(last, target, length + 1)[1:])
        return position + 3
    raise Fault(f"a segmented palette has a segment of kind {kind}")


def _indirect(words: list[int], position: int, out: list[int], length: int, width: int) -> int:
    offset = sum(
        part << (16 // (width // 2) * index) for index, part in enumerate(words[position + 2 : position + 2 + width])
    )
    source = offset if width == 4 else offset // 2
    for _ in range(length):
        if source + 2 >= len(words) or words[source] == 2:
            raise Fault("a segmented palette refers to a segment that is not there")
        source = _direct(words, source, out)
    return position + 2 + width
