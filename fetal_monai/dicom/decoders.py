"""One explicit choice of decoder for every transfer syntax; a missing one is named, with the package to install."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from fetal_monai.dicom.codestream import Codestream, inspect_jpeg, inspect_jpeg2000, with_plain_scan
from fetal_monai.dicom.jpegxl import inspect_jpegxl
from fetal_monai.dicom.limits import Fault
from fetal_monai.dicom.pixel_layout import PixelLayout

_END_OF_IMAGE = b"\xff\xd9"
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


NATIVE_SYNTAXES = frozenset(f"1.2.840.10008.1.2{suffix}" for suffix in ("", ".1", ".2", ".1.99"))
"""Uncompressed: implicit, explicit little and big endian, deflated."""

_VIDEO = "1.2.840.10008.1.2.4"
VIDEO_CODECS = {
    **{f"{_VIDEO}.{number}{form}": "mpeg2video" for number in (100, 101) for form in ("", ".1")},
    **{f"{_VIDEO}.{number}{form}": "h264" for number in range(102, 107) for form in ("", ".1")},
    **{f"{_VIDEO}.{number}": "hevc" for number in (107, 108)},
}
"""Video by FFmpeg's decoder: all frames are one stream, see `Video`. MPEG-2, H.264, both "fragmentable" too; HEVC."""


@dataclass(frozen=True)
class Samples:
    """The decoded samples of one frame, before colours and windows.

    Args:
        array: (rows, columns) or (rows, columns, 3), an integer type.
        photometric: the colour model that the samples are in, as DICOM names it.
        bits: bits that carry the value.
        signed: whether values may be negative; they already are numbers, not bit patterns.
    """

    array: NDArray[Any]
    photometric: str
    bits: int
    signed: bool


def decode_compressed(data: bytes, syntax: str, layout: PixelLayout) -> Samples:
    """Decode one compressed frame.

    Args:
        data: its bytes, fragments joined.
        syntax: TransferSyntaxUID.
        layout: what the header says of the pixels.

    Returns:
        The samples, of the header's size.

    Raises:
        Fault: if the syntax is not supported, its package is missing, or the bytes are not what the header says.
    """
    decoder = _DECODERS.get(syntax)
    if decoder is None:
        raise unsupported(syntax)
    samples = decoder(data, layout)
    if samples.array.shape[:2] != (layout.rows, layout.columns):
        raise Fault(f"the frame decodes to {samples.array.shape[:2]}, not to {(layout.rows, layout.columns)}")
    return samples


def unsupported(syntax: str) -> Fault:
    """The fault that names a transfer syntax which nothing here decodes."""
    name = UID(syntax).name if syntax else "none"
    return Fault(
        f"its transfer syntax {name} is not supported",
        "transcode it to one in the table of docs/dicom.md, for example JPEG Baseline or Explicit VR Little Endian",
    )


def supported_syntaxes() -> frozenset[str]:
    """The UIDs of all transfer syntaxes that can be read."""
    return NATIVE_SYNTAXES | _DECODERS.keys() | VIDEO_CODECS.keys()


def is_encapsulated(syntax: str) -> bool:
    """Whether a supported compressed transfer syntax."""
    return syntax in _DECODERS or syntax in VIDEO_CODECS


def _package(module: str, package: str, syntax: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Fault(f"decoding {syntax} needs the package {package}", f"pip install {package}") from error


def _check(stream: Codestream, layout: PixelLayout, *kinds: str) -> None:
    """Compare the codestream with the header, before a decoder allocates what the codestream asks for."""
    if stream.kind not in kinds:
        raise Fault(f"the frame is a {stream.kind} image, not what the transfer syntax says ({' or '.join(kinds)})")
    if (stream.rows, stream.columns) != (layout.rows, layout.columns):
        raise Fault(
            f"the compressed image is {stream.rows} x {stream.columns}, "
            f"the header says {layout.rows} x {layout.columns}"
        )
    if stream.components not in {1, 3}:
        raise Fault(f"the compressed image has {stream.components} components, not 1 or 3")


def _monochrome(layout: PixelLayout) -> str:
    """The header's word for single samples; a single component under a colour header is grey."""
    return layout.photometric if layout.samples == 1 else "MONOCHROME2"


def _colour(stream: Codestream, layout: PixelLayout) -> str:
    """The colour model of three samples: the codestream decides, the header where it is silent."""
    ycc = layout.photometric.startswith("YBR_FULL") if stream.ycc is None else stream.ycc
    return "YBR_FULL" if ycc else "RGB"


def _signed(array: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Bit patterns of BitsStored bits as numbers, where the header calls them signed."""
    if not layout.signed:
        return array
    half = 1 << (layout.bits_stored - 1)
    return ((array.astype(np.int64) & (2 * half - 1)) ^ half) - half


def _decode_dct(data: bytes, layout: PixelLayout) -> Samples:
    stream = inspect_jpeg(data)
    _check(stream, layout, "dct")
    if stream.precision != 8:
        return _libjpeg(data, stream, layout)
    simplejpeg = _package("simplejpeg", "simplejpeg", "JPEG Baseline")
    if stream.components == 1:
        grey = simplejpeg.decode_jpeg(data, "GRAY", strict=False)[..., 0]
        return Samples(_signed(grey, layout), _monochrome(layout), layout.bits_stored, layout.signed)
    if _colour(stream, layout) == "RGB" and stream.ycc is None:
        data = data[:2] + _ADOBE_RGB + data[2:]  # libjpeg would take unmarked components for YCbCr
    return Samples(simplejpeg.decode_jpeg(data, "RGB", strict=False), "RGB", 8, signed=False)


def _decode_lossless(data: bytes, layout: PixelLayout) -> Samples:
    stream = inspect_jpeg(data)
    _check(stream, layout, "lossless")
    return _libjpeg(data, stream, layout)


def _libjpeg(data: bytes, stream: Codestream, layout: PixelLayout) -> Samples:
    libjpeg = _package("libjpeg", "pylibjpeg-libjpeg", "JPEG Extended and Lossless")
    array = libjpeg.decode(with_plain_scan(data, stream), 0)
    if stream.components == 1:
        return Samples(_signed(array, layout), _monochrome(layout), layout.bits_stored, layout.signed)
    # JFIF is defined for the DCT processes only: in a lossless stream it says nothing of the colours.
    ycc = stream.ycc if stream.kind == "dct" else None if stream.adobe is None else stream.adobe == 1
    ycc = layout.photometric.startswith("YBR_FULL") if ycc is None else ycc
    return Samples(array, "YBR_FULL" if ycc else "RGB", layout.bits_stored, signed=False)


def _decode_jpeg_ls(data: bytes, layout: PixelLayout) -> Samples:
    stream = inspect_jpeg(data)
    _check(stream, layout, "jpeg-ls")
    if data.find(_END_OF_IMAGE, stream.scan) < 0:  # CharLS refuses it, too, but may search for seconds
        raise Fault("the JPEG-LS image is cut off: it has no end marker")
    jpeg_ls = _package("jpeg_ls", "pyjpegls", "JPEG-LS")
    array = jpeg_ls.jlsread(data)
    if stream.components == 1:
        return Samples(_signed(array, layout), _monochrome(layout), layout.bits_stored, layout.signed)
    return Samples(array, _colour(stream, layout), layout.bits_stored, signed=False)


def _decode_jpeg2000(data: bytes, layout: PixelLayout) -> Samples:
    stream = inspect_jpeg2000(data)
    _check(stream, layout, "jpeg2000")
    openjpeg = _package("openjpeg", "pylibjpeg-openjpeg", "JPEG 2000")
    array = openjpeg.decode(data)
    if stream.components == 1:
        array = array if stream.signed else _signed(array, layout)
        return Samples(array, _monochrome(layout), layout.bits_stored, stream.signed or layout.signed)
    return Samples(array, _colour(stream, layout), layout.bits_stored, signed=False)


def _decode_jpegxl(data: bytes, layout: PixelLayout) -> Samples:
    stream = inspect_jpegxl(data)
    _check(stream, layout, "jpegxl")
    imagecodecs = _package("imagecodecs", "'fetal_monai[jpegxl]'", "JPEG XL")
    array = imagecodecs.jpegxl_decode(data, numthreads=1)
    if stream.components == 1:
        return Samples(_signed(array, layout), _monochrome(layout), stream.precision, layout.signed)
    return Samples(array, _colour(stream, layout), stream.precision, signed=False)


def _decode_recompressed(data: bytes, layout: PixelLayout) -> Samples:
    """What was a JPEG Baseline image: JPEG XL undoes its colour model."""
    samples = _decode_jpegxl(data, layout)
    return replace(samples, photometric="RGB") if samples.array.ndim == 3 else samples


def _decode_rle(data: bytes, layout: PixelLayout) -> Samples:
    if layout.bits_allocated < 8:
        raise Fault("bitmaps of 1 bit are not compressed in this transfer syntax")
    rle = _package("rle.utils", "pylibjpeg-rle", "RLE Lossless")
    pixels = layout.rows * layout.columns
    try:
        raw = rle.decode_frame(data, pixels, layout.bits_allocated, "<")
    except BaseException as error:
        if (
            type(error).__name__ == "PanicException"
        ):  # Rust's panics are no `Exception`, this one must not end a training
            raise Fault(f"the RLE frame is damaged: {error}") from None
        raise
    array = np.frombuffer(raw, f"<u{layout.bits_allocated // 8}")
    if array.size != pixels * layout.samples:
        raise Fault(f"the RLE frame holds {array.size} samples, not {pixels * layout.samples}")
    array = array.reshape(layout.samples, layout.rows, layout.columns)
    array = array[0] if layout.samples == 1 else array.transpose(1, 2, 0)
    return unpack(array, layout)


def unpack(array: NDArray[Any], layout: PixelLayout) -> Samples:
    """Stored words as numbers: bits outside of BitsStored dropped, signs extended (PS3.5 8.1.1).

    Args:
        array: words of BitsAllocated bits.
        layout: what the header says of them.

    Returns:
        The samples.
    """
    shift = layout.high_bit + 1 - layout.bits_stored
    if layout.bits_stored < layout.bits_allocated:
        array = (array >> shift) & array.dtype.type((1 << layout.bits_stored) - 1)
    if layout.samples == 1:
        array = _signed(array, layout)
    return Samples(array, layout.photometric, layout.bits_stored, layout.signed and layout.samples == 1)


_Decoder = Callable[[bytes, PixelLayout], Samples]
_UID = "1.2.840.10008.1.2"
_DECODERS: dict[str, _Decoder] = {
    f"{_UID}.4.50": _decode_dct,
    f"{_UID}.4.51": _decode_dct,
    f"{_UID}.4.57": _decode_lossless,
    f"{_UID}.4.70": _decode_lossless,
    f"{_UID}.4.80": _decode_jpeg_ls,
    f"{_UID}.4.81": _decode_jpeg_ls,
    f"{_UID}.4.90": _decode_jpeg2000,
    f"{_UID}.4.91": _decode_jpeg2000,
    f"{_UID}.4.110": _decode_jpegxl,
    f"{_UID}.4.111": _decode_recompressed,
    f"{_UID}.4.112": _decode_jpegxl,
    f"{_UID}.4.201": _decode_jpeg2000,
    f"{_UID}.4.202": _decode_jpeg2000,
    f"{_UID}.4.203": _decode_jpeg2000,
    f"{_UID}.5": _decode_rle,
}
