"""What a JPEG XL image says of itself, read from its first bytes before any decoder runs (ISO/IEC 18181-1 and -2)."""

from __future__ import annotations

import struct

from fetal_monai.dicom.codestream import Codestream
from fetal_monai.dicom.limits import Fault

_BARE = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_HEADER_BYTES = 64


class _Bits:
    """Numbers of any width, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def __call__(self, width: int = 1) -> int:
        self._left -= width
        if self._left < 0:
            raise Fault("the JPEG XL image ends in its header")
        number = self._value & (1 << width) - 1
        self._value >>= width
        return number

    def choice(self, *options: tuple[int, int]) -> int:
        """One of four (base, width), which two bits choose."""
        base, width = options[self(2)]
        return base + self(width)


def inspect_jpegxl(data: bytes) -> Codestream:
    """Read the size and the image metadata of a JPEG XL image, bare or in its container.

    Args:
        data: the image.

    Returns:
        Its facts; `ycc` is False where decoders give RGB, None where it holds whatever it was given.

    Raises:
        Fault: if it is not one, is damaged, or holds what an image of DICOM has no place for.
    """
    bits = _Bits(_codestream(data))
    if bits(16) != 0x0AFF:
        raise Fault(f"the frame does not begin like a JPEG XL image but with {data[:4].hex()}")
    rows, columns = _size(bits)
    if bits():  # all default
        return Codestream("jpegxl", rows, columns, 3, 8, ycc=False)
    if bits():
        _refuse_extras(bits)
    if bits():
        raise Fault("the JPEG XL image holds floating point numbers")
    precision = bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits()  # whether 16 bits suffice to decode
    if bits.choice((0, 0), (1, 0), (2, 4), (1, 12)):
        raise Fault("the JPEG XL image has channels besides its colours")
    transformed = bool(bits())
    components = 3
    if not bits():  # colours are not the default, sRGB
        bits()  # whether a profile follows
        components = {0: 3, 1: 1}.get(bits.choice((0, 0), (1, 0), (2, 4), (18, 6)), 0)
    return Codestream("jpegxl", rows, columns, components, precision, ycc=False if transformed else None)


def _codestream(data: bytes) -> bytes:
    """The codestream's first bytes."""
    if data[:2] == _BARE:
        return data[:_HEADER_BYTES]
    position = len(_CONTAINER) if data.startswith(_CONTAINER) else len(data)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, position)
        head = 8
        if length == 1 and position + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, position + 8)[0], 16
        if kind in {b"jxlc", b"jxlp"}:
            start = position + head + 4 * (kind == b"jxlp")
            return data[start : start + _HEADER_BYTES]
        if length < head:
            break
        position += length
    raise Fault(f"the frame begins with {data[:4].hex()} and holds no JPEG XL image")


def _size(bits: _Bits) -> tuple[int, int]:
    def dimension() -> int:
        return 1 + bits.choice((0, 9), (0, 13), (0, 18), (0, 30))

    def small_dimension() -> int:
        return 8 * (bits(5) + 1)

    one = small_dimension if bits() else dimension
    rows = one()
    ratio = bits(3)
    if not ratio:
        return rows, one()
    width, height = _RATIOS[ratio]
    return rows, rows * width // height


def _refuse_extras(bits: _Bits) -> None:
    """Refuse orientation, previews and animation."""
    orientation = bits(3) + 1
    if orientation != 1:
        raise Fault(f"the JPEG XL image is to be turned (orientation {orientation}), for which DICOM has no place")
    if bits():  # another size to be shown in, which says nothing of the pixels
        _size(bits)
    if bits() or bits():
        raise Fault("the JPEG XL image has a preview or is an animation")
