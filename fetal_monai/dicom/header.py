"""The header of a DICOM file, read up to the pixels and no further."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO, cast

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fetal_monai.dicom.bounded_streams import HeaderReader, InflatingReader
from fetal_monai.dicom.element_values import tag_of, text
from fetal_monai.dicom.limits import Fault, Limits

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = frozenset({_ITEM, _ITEM_END, _SEQUENCE_END})
_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_MAX_DEPTH = 32
_MAX_PARTS = 2000

_KEYWORDS = """
SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality Manufacturer
ManufacturerModelName PatientID PatientName PatientBirthDate AccessionNumber StudyDate
SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
HighBit PixelRepresentation PixelSpacing FrameTime FrameTimeVector CineRate RecommendedDisplayFrameRate
SequenceOfUltrasoundRegions WindowCenter WindowWidth VOILUTFunction VOILUTSequence RescaleIntercept RescaleSlope
ModalityLUTSequence RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
BluePaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
SegmentedBluePaletteColorLookupTableData PaletteColorLookupTableUID
""".split()  # noqa: SIM905  # a list of fifty quoted words reads worse


_WANTED = frozenset(tag_of(keyword) for keyword in _KEYWORDS)
_WANTED_LIST: list[BaseTag | int] = list(_WANTED)
_SYNTAX = tag_of("TransferSyntaxUID")


@dataclass
class Header:
    """A parsed header and where the pixels begin.

    Args:
        dataset: the elements that this package uses; all others were skipped.
        transfer_syntax: TransferSyntaxUID, as declared or, where there is none, as detected.
        little_endian: the byte order of the data set.
        file: where the pixels are read from (the file itself, or its inflated stream).
        pixel_offset: offset of the value of PixelData in `file`, or None when there is none.
        pixel_vr: its value representation, or None in implicit VR.
        pixel_length: its length in bytes, or None when undefined (encapsulated).
        offset_table: (offset, length) of the value of the Extended Offset Table, if there is one.
    """

    dataset: Dataset
    transfer_syntax: str
    little_endian: bool
    file: BinaryIO
    pixel_offset: int | None = None
    pixel_vr: str | None = None
    pixel_length: int | None = None
    offset_table: tuple[int, int] | None = None


def read_header(file: BinaryIO, limits: Limits) -> Header:
    """Read a header, skipping what is not wanted without parsing it.

    Args:
        file: an open, buffered, seekable file.
        limits: caps on the header's size.

    Returns:
        The header; its `dataset` has no pixel data.

    Raises:
        Fault: if it is not DICOM, or cannot be parsed.
    """
    start = _start_of_data(file)
    syntax = ""
    file.seek(start)
    if _peek_group(file) == 2:
        guarded = HeaderReader(file, limits)
        meta = read_dataset(
            cast("BinaryIO", guarded),
            False,
            True,
            stop_when=_after_meta,
            specific_tags=[_SYNTAX],
        )
        syntax = text(meta, "TransferSyntaxUID")
    implicit, little, syntax = _encoding(file, syntax)
    stream = file
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = io.BufferedReader(InflatingReader(file, file.tell(), limits))
    header = Header(Dataset(), syntax, little, stream)
    _read_elements(header, implicit, HeaderReader(stream, limits))
    return header


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >> 16 != 2


def _start_of_data(file: BinaryIO) -> int:
    lead = file.read(132)
    if not lead:
        raise Fault("the file is empty", "copy it again from the source")
    if lead[128:] == b"DICM":
        return 132
    # Files from before Part 10 start with group 2 or 8 at once, in either byte order.
    if len(lead) > 16 and lead[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and lead[3] + lead[2] < 0x60:
        return 0
    raise Fault(
        "this is not a DICOM file", "give a DICOM file; images of other formats load through MONAI's own readers"
    )


def _peek_group(file: BinaryIO) -> int:
    head = file.read(2)
    file.seek(-len(head), io.SEEK_CUR)
    return int.from_bytes(head, "little")


def _encoding(file: BinaryIO, syntax: str) -> tuple[bool, bool, str]:
    """Whether the data set is implicit VR and little endian; the syntax, detected when the meta group has none."""
    if not syntax:
        head = file.read(6)
        file.seek(-len(head), io.SEEK_CUR)
        little = head[:2] < b"\x01\x00" or head[1:2] == b"\x00"
        implicit = not (head[4:6].isalpha() and head[4:6].isupper())
        detected = ImplicitVRLittleEndian if implicit else (ExplicitVRLittleEndian if little else ExplicitVRBigEndian)
        return implicit, little, str(detected)
    return syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian, syntax


def _read_elements(header: Header, implicit: bool, guarded: HeaderReader) -> None:
    little = header.little_endian
    found: list[tuple[int, str | None, int, int]] = []

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        # Undefined lengths that nobody wants, and everything from the pixels on, are taken in hand below.
        number = int(tag)  # pydicom's tags compare slowly, and this is asked for each element of each file
        if number >= _OFFSETS or (length == _UNDEFINED and number not in _WANTED):
            found.append((number, vr, length, guarded.tell()))
            return True
        return False

    for _ in range(_MAX_PARTS):
        found.clear()
        part = read_dataset(cast("BinaryIO", guarded), implicit, little, stop_when=stop, specific_tags=_WANTED_LIST)
        if len(header.dataset):
            header.dataset.update(part)
        else:
            header.dataset = part
        if not found:
            _refuse_early_end(guarded, little)
            return
        tag, vr, length, value = found[0]
        if tag == _PIXEL_DATA:
            header.pixel_offset, header.pixel_vr = value, vr
            header.pixel_length = None if length == _UNDEFINED else length
            return
        _refuse(tag, value)
        if tag > _PIXEL_DATA:  # tags ascend: there is none
            return
        if tag == _OFFSETS:
            header.offset_table = (value, length)
        guarded.seek(value)
        if length == _UNDEFINED:
            _skip_undefined(guarded, implicit, little)
        else:
            guarded.seek(value + length)
    raise Fault(f"the header has more than {_MAX_PARTS} sequences")


def _refuse(tag: int, value: int) -> None:
    """Refuse what stands where pixels should be."""
    if tag in _FLOAT_PIXELS:
        raise Fault("the pixels are floating point numbers", "this is no ultrasound image; leave it out")
    if tag in _DELIMITERS:
        raise _stray(tag, value)


def _refuse_early_end(guarded: HeaderReader, little: bool) -> None:
    """Refuse a data set that the parser left, as if it were an item, before the file's end."""
    here = guarded.tell()
    guarded.seek(max(here - 8, 0))
    head = guarded.read(8)
    if head[:4] == struct.pack("<HH" if little else ">HH", _ITEM_END >> 16, _ITEM_END & 0xFFFF) and guarded.read(1):
        raise _stray(_ITEM_END, here)


def _stray(tag: int, value: int) -> Fault:
    """Such files exist. No two of dcmtk, ITK and pydicom agree on any of them, so none is read here."""
    name = {_ITEM: "an item", _ITEM_END: "the end of an item", _SEQUENCE_END: "the end of a sequence"}[tag]
    return Fault(
        f"{name} (FFFE,{tag & 0xFFFF:04X}) stands outside of any sequence, just before byte {value}",
        "what follows it cannot be told for sure: export the file again from the scanner or the archive",
    )


def _skip_undefined(guarded: HeaderReader, implicit: bool, little: bool) -> None:
    """Step over a value of undefined length, building nothing (PS3.5 7.5)."""
    order = "<" if little else ">"
    closers = [_SEQUENCE_END]  # what ends each level that is open
    while closers:
        head = guarded.read(8)
        if len(head) < 8:
            raise Fault("the file ends inside its header")
        group, element, length = struct.unpack(f"{order}HHL", head)
        tag = group << 16 | element
        if tag in (_ITEM_END, _SEQUENCE_END):
            if closers.pop() != tag:
                raise Fault("the header's sequences are not closed properly")
            continue
        in_sequence = closers[-1] == _SEQUENCE_END
        if in_sequence and tag != _ITEM:
            raise Fault("the header holds something other than an item in a sequence")
        if not in_sequence and not implicit and head[4:6].isalpha():
            length = _explicit_length(guarded, head, order)
        if length == _UNDEFINED:
            closers.append(_ITEM_END if in_sequence else _SEQUENCE_END)
        else:
            guarded.seek(length, io.SEEK_CUR)
        if len(closers) > _MAX_DEPTH:
            raise Fault(f"the header nests deeper than {_MAX_DEPTH} sequences")


def _explicit_length(guarded: HeaderReader, head: bytes, order: str) -> int:
    long = head[4:6] in _LONG_VRS
    raw = guarded.read(4).ljust(4, b"\0") if long else head[6:]
    return int(struct.unpack(f"{order}{'L' if long else 'H'}", raw)[0])
