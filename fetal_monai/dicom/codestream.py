"""What a compressed frame says of itself: size, components and colour, read from its markers before any decoder runs.

JPEG and JPEG-LS markers: ITU-T T.81 annex B and T.87 annex C; JPEG 2000: ISO/IEC 15444-1 annexes A and I.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fetal_monai.dicom.limits import Fault

_DCT = frozenset({0xC0, 0xC1, 0xC2})
_LOSSLESS = 0xC3
_JPEG_LS = 0xF7
_OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_FRAMES = _DCT | {_LOSSLESS, _JPEG_LS}
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True)
class Codestream:
    """The facts of one compressed frame.

    Args:
        kind: "dct", "lossless", "jpeg-ls", "jpeg2000" or "jpegxl".
        rows: its height in pixels.
        columns: its width in pixels.
        components: samples per pixel.
        precision: bits per sample.
        signed: whether samples are signed (JPEG 2000 only).
        ycc: True or False where markers state the colour model; None where they leave it open.
        adobe: the transform of the Adobe marker, None without one (JPEG).
        sequential: whether a DCT image comes in one pass (JPEG).
        scan: offset of the first scan (JPEG).
        sampling: (horizontal, vertical) sampling factor of each component (JPEG).
    """

    kind: str
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    ycc: bool | None = None
    adobe: int | None = None
    sequential: bool = False
    scan: int = 0
    sampling: tuple[tuple[int, int], ...] = ()


def inspect_jpeg(data: bytes) -> Codestream:
    """Read the markers of a JPEG or JPEG-LS codestream up to its first scan.

    Args:
        data: the codestream.

    Returns:
        Its facts. The colour model follows libjpeg's order: JFIF, then Adobe, then letters as component ids, then
        chroma subsampling, which only YCbCr has.

    Raises:
        Fault: if it is not one, or is damaged.
    """
    if data[:2] != b"\xff\xd8":
        raise Fault(f"the frame does not begin like a JPEG image but with {data[:4].hex()}")
    jfif, adobe, scan = False, None, 0
    frame: tuple[int, bytes] | None = None
    for marker, body, position in jpeg_segments(data):
        scan = position
        if marker in _FRAMES:
            if frame is not None:
                raise Fault("the JPEG image has two frame headers")
            frame = marker, body
        elif marker in _OTHER_FRAMES:
            raise Fault(f"the JPEG image uses the rare process of marker {marker:02X}")
        elif marker == 0xE0 and body[:5] == b"JFIF\0":
            jfif = True
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
    if frame is None:
        raise Fault("the JPEG image has no frame header")
    return _jpeg_facts(*frame, jfif=jfif, adobe=adobe, scan=scan)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Read the marker segments after SOI, up to the first scan.

    Args:
        data: a JPEG or JPEG-LS codestream.

    Yields:
        For each the second byte of its marker, its body without the length, and the offset of the marker.

    Raises:
        Fault: if it ends, or is damaged, before a scan.
    """
    position = 2
    while True:
        position = data.find(b"\xff", position)
        while position >= 0 and data[position + 1 : position + 2] == b"\xff":
            position += 1
        if position < 0 or position + 4 > len(data):
            raise Fault("the JPEG image ends before its first scan")
        marker = data[position + 1]
        if marker in _STANDALONE:
            position += 2
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : position + 2 + length]
        if length < 2 or len(body) != length - 2:
            raise Fault("the JPEG image is cut off in its header")
        if marker in {0xD8, 0xD9}:
            raise Fault("the JPEG image is damaged: a start or end marker in its header")
        yield marker, body, position
        if marker == 0xDA:
            return
        position += 2 + length


def _jpeg_facts(marker: int, body: bytes, *, jfif: bool, adobe: int | None, scan: int) -> Codestream:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise Fault("the JPEG image has a short frame header")
    precision, rows, columns, components = struct.unpack_from(">BHHB", body)
    ids = bytes(body[6 + 3 * index] for index in range(components))
    sampling = tuple((body[7 + 3 * index] >> 4, body[7 + 3 * index] & 15) for index in range(components))
    ycc: bool | None = None
    if components == 3:
        if jfif:
            ycc = True
        elif adobe is not None:
            ycc = adobe == 1
        elif ids in {b"RGB", b"rgb"}:
            ycc = False
        elif len(set(sampling)) > 1:
            ycc = True
    kind = "dct" if marker in _DCT else "lossless" if marker == _LOSSLESS else "jpeg-ls"
    return Codestream(
        kind,
        rows,
        columns,
        components,
        precision,
        ycc=ycc,
        adobe=adobe,
        sequential=marker in {0xC0, 0xC1},
        scan=scan,
        sampling=sampling,
    )


def with_plain_scan(data: bytes, stream: Codestream) -> bytes:
    """The codestream with the spectral selection that T.81 B.2.3 prescribes for sequential images.

    Some 12-bit writers leave it blank; it means nothing there, but one decoder insists.

    Args:
        data: a JPEG codestream.
        stream: its facts.

    Returns:
        The same bytes where they already were right.
    """
    if not stream.sequential:
        return data
    end = stream.scan + 2 + int.from_bytes(data[stream.scan + 2 : stream.scan + 4], "big")
    return data[: end - 3] + b"\x00\x3f\x00" + data[end:]


def inspect_jpeg2000(data: bytes) -> Codestream:
    """Read the SIZ and COD markers of a JPEG 2000 codestream, bare or in JP2 boxes.

    Args:
        data: the codestream or JP2 file.

    Returns:
        Its facts; `ycc` is False where the codestream applies its own colour transform, which decoders undo.

    Raises:
        Fault: if it is not one, is damaged, or has components of differing size or depth.
    """
    start = 0 if data[:4] == b"\xff\x4f\xff\x51" else _jp2_codestream(data)
    if len(data) < start + 42:
        raise Fault("the JPEG 2000 image ends in its header")
    length, _, right, bottom, left, top, *tile, components = struct.unpack_from(">HH8LH", data, start + 4)
    parameters = data[start + 42 : start + 42 + 3 * components]
    if length != 38 + 3 * components or len(parameters) != 3 * components or not components:
        raise Fault("the JPEG 2000 image has a damaged size marker")
    if len({parameters[3 * index : 3 * index + 3] for index in range(components)}) != 1 or parameters[1:3] != b"\1\1":
        raise Fault("the JPEG 2000 image has components of differing size or depth")
    if right <= left or bottom <= top or 0 in tile[:2]:
        raise Fault("the JPEG 2000 image has no area")
    if ((right - tile[2]) // tile[0] + 1) * ((bottom - tile[3]) // tile[1] + 1) > 1 << 14:
        raise Fault("the JPEG 2000 image has absurdly many tiles")
    transform = _multiple_component_transform(data, start + 4 + length)
    return Codestream(
        "jpeg2000",
        bottom - top,
        right - left,
        components,
        (parameters[0] & 0x7F) + 1,
        signed=bool(parameters[0] & 0x80),
        ycc=False if transform else None,
    )


def _jp2_codestream(data: bytes) -> int:
    if data[4:8] != b"jP  ":
        raise Fault(f"the frame does not begin like a JPEG 2000 image but with {data[:4].hex()}")
    start = data.find(b"jp2c\xff\x4f\xff\x51")
    if start < 0:
        raise Fault("the JP2 image holds no codestream")
    return start + 4


def _multiple_component_transform(data: bytes, position: int) -> bool:
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFF52:  # COD: Scod, progression, layers (2), transform
            return position + 8 < len(data) and data[position + 8] == 1
        if marker == 0xFF90:
            break
        position += 2 + length
    raise Fault("the JPEG 2000 image has no coding style")
