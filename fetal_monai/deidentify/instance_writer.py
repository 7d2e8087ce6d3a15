"""One file de-identified: its frames one at a time, and nothing under its name until it is complete."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue

from fetal_monai.deidentify.header import Keep, deidentify_header
from fetal_monai.deidentify.jpeg_worker import JpegWorker
from fetal_monai.deidentify.kept_pixels import BANNER_FRACTION, kept_pixels
from fetal_monai.deidentify.pixels import CannotKeep, Encoding, encodings
from fetal_monai.deidentify.pseudonyms import Pseudonyms
from fetal_monai.dicom.instance import UltrasoundInstance
from fetal_monai.dicom.limits import Fault
from fetal_monai.dicom.regions import read_regions
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.files import atomic_path

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
_ONE_UID = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_LOSSY = {"4.50": "ISO_10918_1", "4.51": "ISO_10918_1", "4.81": "ISO_14495_1", "4.91": "ISO_15444_1"}


@dataclass(frozen=True)
class Written:
    """A de-identified file.

    Args:
        path: where it is.
        source: the file that it was made from.
        uid: SOPInstanceUID here.
        study_uid: StudyInstanceUID here.
        frames: how many it has.
        declared: whether all outside of regions is blanked that leave the banner out.
        syntax: the name of its transfer syntax.
    """

    path: Path
    source: str
    uid: str
    study_uid: str
    frames: int
    declared: bool
    syntax: str


def write_deidentified(
    source: str,
    folder: Path,
    pseudonyms: Pseudonyms,
    worker: JpegWorker,
    *,
    keep: Collection[Keep] = (),
    banner: float = BANNER_FRACTION,
) -> Written:
    """De-identify one ultrasound file.

    Args:
        source: the file.
        folder: the result goes to `folder/STUDY/INSTANCE.dcm`, by the new UIDs.
        pseudonyms: of patients and UIDs.
        worker: for JPEG.
        keep: options of the profile.
        banner: share of the height to blank where no regions leave it out.

    Returns:
        What was written.

    Raises:
        DicomReadError: if the file cannot be read.
        OSError: if the result cannot be written.
    """
    with _blame(source), UltrasoundInstance(source) as instance:
        layout = instance.layout
        kept = kept_pixels(read_regions(instance.header.dataset), layout.rows, layout.columns, banner)
        data = _read_header(source)
        if several := [keyword for keyword in _ONE_UID if isinstance(data.get(keyword), MultiValue)]:
            raise Fault(f"{several[0]} has several values", "look where the file comes from")
        old_syntax = instance.header.transfer_syntax
        deidentify_header(data, pseudonyms, keep, pixels_cleaned=kept.declared)
        _say_lossy(data, old_syntax)
        uid, study = str(data.SOPInstanceUID), str(data.get("StudyInstanceUID") or "no-study")
        path = folder / study / f"{uid}.dcm"
        with atomic_path(path) as temporary:
            for encoding in encodings(instance, kept.mask, worker):
                try:
                    _write(temporary, data, encoding, len(instance))
                    break
                except CannotKeep:
                    continue
    return Written(path, source, uid, study, layout.frames, kept.declared, encoding.syntax.name)


@contextmanager
def _blame(source: str) -> Iterator[None]:
    """Turn whatever is wrong with a file into the one error that names it."""
    try:
        yield
    except Fault as fault:
        raise DicomReadError(source, fault.cause, fault.remedy) from None
    except (DicomReadError, OSError):
        raise
    except Exception as error:  # what was read can still be what cannot be written
        cause = f"its header is damaged: {type(error).__name__}: {str(error)[:200]}"
        raise DicomReadError(source, cause, "export the file again from the scanner or the archive") from error


def _read_header(source: str) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break a rule: they quote them
        data = pydicom.dcmread(source, stop_before_pixels=True, force=True)
        if data.original_encoding[1] is False:
            _swap_words(data)
    return data


def _swap_words(data: Dataset) -> None:
    """Bring words to little endian: pydicom leaves them as they were."""
    for element in data.iterall():
        if element.VR == "OW" and isinstance(element.value, bytes):
            swapped = bytearray(element.value)
            swapped[0::2], swapped[1::2] = swapped[1::2], swapped[0::2]
            element.value = bytes(swapped)


def _say_lossy(data: Dataset, syntax: str) -> None:
    """Pixels that once lost something stay lossy, whatever they are encoded in now (PS3.3 C.7.6.1.1.5)."""
    method = next((name for suffix, name in _LOSSY.items() if syntax == f"1.2.840.10008.1.2.{suffix}"), None)
    if method is not None:
        data.LossyImageCompression = "01"
        if not data.get("LossyImageCompressionMethod"):
            data.LossyImageCompressionMethod = method


def _write(path: Path, header: Dataset, encoding: Encoding, frames: int) -> None:
    data = Dataset()
    data.update(header)
    for keyword, value in encoding.elements.items():
        if value is not None:
            setattr(data, keyword, value)
        elif keyword in data:
            delattr(data, keyword)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = encoding.syntax
    with path.open("wb") as file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break a rule: they were so before
            pydicom.dcmwrite(file, data, enforce_file_format=True)
        if encoding.syntax.is_encapsulated:
            _append_encapsulated(file, encoding.frames(), frames)
        else:
            _append_native(file, encoding.frames(), b"OW" if data.BitsAllocated > 8 else b"OB")


def _append_native(file: BinaryIO, frames: Iterator[bytes], vr: bytes) -> None:
    file.write(_PIXEL_DATA + vr + bytes(6))
    start = file.tell()
    file.writelines(frames)
    file.write(bytes((file.tell() - start) % 2))
    length = _within(file.tell() - start)
    file.seek(start - 4)
    file.write(struct.pack("<L", length))


def _append_encapsulated(file: BinaryIO, frames: Iterator[bytes], count: int) -> None:
    """One fragment a frame, with a basic offset table (PS3.5 A.4)."""
    file.write(_PIXEL_DATA + b"OB\0\0\xff\xff\xff\xff" + _ITEM + struct.pack("<L", 4 * count))
    table = file.tell()
    file.write(bytes(4 * count))
    first = file.tell()
    offsets = []
    for frame in frames:
        offsets.append(_within(file.tell() - first))
        padded = frame + bytes(len(frame) % 2)
        file.write(_ITEM + struct.pack("<L", len(padded)) + padded)
    file.write(_SEQUENCE_END + bytes(4))
    file.seek(table)
    file.write(struct.pack(f"<{count}L", *offsets))


def _within(length: int) -> int:
    if length >= _UNDEFINED:
        raise Fault("its pixels, without loss, need more than the 4 GiB that DICOM can count", "cut the clip in two")
    return length
