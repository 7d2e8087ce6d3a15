"""Frames with all but the kept pixels blanked: in JPEG's own blocks, or else without loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless

from fetal_monai.deidentify.jpeg_blocks import blocks_allow, blocks_to_keep, is_plain_beside
from fetal_monai.deidentify.jpeg_worker import JpegWorker
from fetal_monai.dicom.codestream import inspect_jpeg
from fetal_monai.dicom.decoders import NATIVE_SYNTAXES, Samples, decode_compressed
from fetal_monai.dicom.instance import UltrasoundInstance

_BY_PIXEL = 2


class CannotKeep(Exception):  # noqa: N818  # no error: the next encoding is tried
    """An encoding that cannot hold these frames as they have to be."""


@dataclass(frozen=True)
class Encoding:
    """A way to write the frames.

    Args:
        syntax: the transfer syntax.
        frames: makes the frames one by one; raises `CannotKeep` at one that it cannot hold.
        elements: what the header has to say of them.
    """

    syntax: UID
    frames: Callable[[], Iterator[bytes]]
    elements: dict[str, Any] = field(default_factory=dict)


def encodings(instance: UltrasoundInstance, mask: NDArray[np.bool_], worker: JpegWorker) -> Iterator[Encoding]:
    """List the ways to write a file's frames with all but the masked pixels blanked, the best first.

    JPEG Baseline stays what it is, uncompressed pixels stay uncompressed, and all else becomes JPEG-LS Lossless. Where
    a JPEG block lies across the border of what stays and shows something beside it, JPEG-LS takes over; where JPEG-LS
    cannot hold the pixels, they are uncompressed.

    Args:
        instance: the open file.
        mask: (rows, columns), True where pixels stay as they are.
        worker: for JPEG.

    Yields:
        Encodings; the last one holds everything.

    Raises:
        DicomReadError: if the first frame cannot be decoded.
    """
    syntax = instance.header.transfer_syntax
    if syntax == JPEGBaseline8Bit:
        yield Encoding(JPEGBaseline8Bit, lambda: _in_blocks(instance, mask, worker))
    first = _plain(instance, 0)
    if syntax not in NATIVE_SYNTAXES and first.bits <= 16:
        yield Encoding(JPEGLSLossless, lambda: _jpeg_ls(instance, mask), _described(first))
    yield Encoding(ExplicitVRLittleEndian, lambda: _native(instance, mask), _described(first))


def _plain(instance: UltrasoundInstance, index: int) -> Samples:
    """The stored values of a frame; colours of halved chroma in a model that has one value a pixel."""
    samples = instance.samples(index)
    if samples.photometric == "YBR_PARTIAL_422":  # without a full counterpart in DICOM
        rgb = instance.frame(index).transpose(1, 2, 0)
        return Samples(np.ascontiguousarray(rgb), "RGB", 8, signed=False)
    if samples.photometric == "YBR_FULL_422":
        return Samples(samples.array, "YBR_FULL", samples.bits, samples.signed)
    return samples


def _allocated(samples: Samples) -> int:
    return next(bits for bits in (8, 16, 32) if samples.bits <= bits)


def _described(samples: Samples) -> dict[str, Any]:
    colour = samples.array.ndim == 3
    return {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": samples.photometric,
        "PlanarConfiguration": 0 if colour else None,
        "BitsAllocated": _allocated(samples),
        "BitsStored": samples.bits,
        "HighBit": samples.bits - 1,
        "PixelRepresentation": int(samples.signed),
    }


def _blanked(samples: Samples, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The values, black where the mask is False."""
    black: Any = 0
    if samples.photometric.startswith("YBR_FULL"):
        half = 1 << (samples.bits - 1)
        black = (0, half, half)
    elif samples.array.ndim == 2 and samples.photometric != "PALETTE COLOR":
        lowest = -(1 << (samples.bits - 1)) if samples.signed else 0
        black = lowest + (1 << samples.bits) - 1 if samples.photometric == "MONOCHROME1" else lowest
    array = samples.array.astype(f"<{'i' if samples.signed else 'u'}{_allocated(samples) // 8}")
    array[~mask] = black
    return array


def _native(instance: UltrasoundInstance, mask: NDArray[np.bool_]) -> Iterator[bytes]:
    for index in range(len(instance)):
        samples = _plain(instance, index)
        yield _blanked(samples, mask).tobytes()


def _jpeg_ls(instance: UltrasoundInstance, mask: NDArray[np.bool_]) -> Iterator[bytes]:
    for index in range(len(instance)):
        samples = _plain(instance, index)
        array = _blanked(samples, mask)
        words = array.view(f"<u{array.itemsize}") & ((1 << samples.bits) - 1)  # no sign beyond what is stored
        rows, columns, *more = array.shape
        mode = _BY_PIXEL if more else 0
        bits = max(samples.bits, 2)
        try:
            yield bytes(
                jpeg_ls.encode_buffer(words.tobytes(), rows, columns, *(more or [1]), bits, 0, interleave_mode=mode)
            )
        except RuntimeError:  # tiny frames, which it would make larger
            raise CannotKeep from None


def _in_blocks(instance: UltrasoundInstance, mask: NDArray[np.bool_], worker: JpegWorker) -> Iterator[bytes]:
    layout, syntax = instance.layout, str(JPEGBaseline8Bit)
    for index in range(len(instance)):
        data = instance.compressed(index)
        before = instance.samples(index)
        stream = inspect_jpeg(data)
        if not blocks_allow(stream):
            raise CannotKeep
        colour = stream.components == 3
        ycc = colour and (layout.photometric.startswith("YBR_FULL") if stream.ycc is None else stream.ycc)
        dark = [not ycc or component == 0 for component in range(stream.components)]
        blanked = worker.blank(data, blocks_to_keep(stream, mask), dark)
        if blanked is None:
            raise CannotKeep
        try:
            after = decode_compressed(blanked, syntax, layout)
        except Exception:  # noqa: BLE001  # whatever is wrong with it, it is not what was asked for
            raise CannotKeep from None
        same = np.array_equal(before.array[mask], after.array[mask])
        if not same or not is_plain_beside(after.array.astype(np.uint8), stream, mask):
            raise CannotKeep
        yield blanked
