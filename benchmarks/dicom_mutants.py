"""DICOM files damaged in seeded ways: bits flipped, lengths broken, elements changed, fragments swapped, junk put in.

A mutant's number makes it, given the same files: those of pydicom and, where installed, of pydicom-data, and made ones
in HTJ2K, JPEG XL and video.
"""

from __future__ import annotations

import importlib.util
import io
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom.data
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless

_FRAMES = 20
_ITEM = b"\xfe\xff\x00\xe0"
_NAMES = """
examples_palette.dcm examples_rgb_color.dcm examples_ybr_color.dcm SC_rgb_rle.dcm SC_rgb_rle_16bit_2frame.dcm
MR_small_RLE.dcm SC_rgb_jpeg_gdcm.dcm SC_rgb_jpeg_lossy_gdcm.dcm SC_rgb_dcmtk_+eb+cr.dcm SC_rgb_dcmtk_+eb+cy+s4.dcm
SC_rgb_small_odd_jpeg.dcm SC_jpeg_no_color_transform.dcm JPGExtended.dcm JPEG-lossy.dcm JPEGLSNearLossless_08.dcm
JPEGLSNearLossless_16.dcm MR_small_jpeg_ls_lossless.dcm SC_rgb_jls_lossy_line.dcm SC_rgb_jls_lossy_sample.dcm
MR_small_jp2klossless.dcm GDCMJ2K_TextGBR.dcm SC_rgb_gdcm_KY.dcm JPEG2000.dcm image_dfl.dcm ExplVR_BigEnd.dcm
MR_small_implicit.dcm MR_small_bigendian.dcm SC_ybr_full_422_uncompressed.dcm SC_rgb_small_odd.dcm CT_small.dcm
emri_small_jpeg_2k_lossless.dcm emri_small_jpeg_ls_lossless.dcm emri_small_RLE.dcm OBXXXX1A_rle.dcm
SC_rgb_16bit_2frame.dcm SC_rgb_32bit.dcm mlut_18.dcm vlut_04.dcm liver_1frame.dcm liver_expb_1frame.dcm
""".split()  # noqa: SIM905  # forty quoted words read worse


def seeds() -> list[tuple[str, bytes]]:
    """The files to damage: those of pydicom and of pydicom-data, and made ones, as far as their packages are here."""
    found = [(name, pydicom.data.get_testdata_file(name, download=False)) for name in _NAMES]
    real = [(name, Path(str(path)).read_bytes()) for name, path in found if path]
    return [*real, *_stills(), *_videos()]


def _stills() -> Iterator[tuple[str, bytes]]:
    """A real picture in High-Throughput JPEG 2000 and JPEG XL, which no file of pydicom has."""
    if importlib.util.find_spec("imagecodecs") is None:
        return
    imagecodecs = importlib.import_module("imagecodecs")
    data = pydicom.dcmread(str(pydicom.data.get_testdata_file("examples_rgb_color.dcm", download=False)))
    pixels = data.pixel_array
    lossy = imagecodecs.htj2k_encode(pixels, level=0.01, reversible=False)
    yield "HTJ2K lossless", _file(data, ".201", "YBR_RCT", imagecodecs.htj2k_encode(pixels))
    yield "HTJ2K", _file(data, ".203", "YBR_ICT", lossy)
    baseline = imagecodecs.jpeg8_encode(pixels, level=90)
    yield "JPEG XL lossless", _file(data, ".110", "RGB", imagecodecs.jpegxl_encode(pixels, lossless=True))
    yield "JPEG XL of JPEG", _file(data, ".111", "YBR_FULL_422", imagecodecs.jpegxl_encode_jpeg(baseline))
    yield "JPEG XL", _file(data, ".112", "XYB", imagecodecs.jpegxl_encode(pixels, distance=1.0))


def _videos() -> Iterator[tuple[str, bytes]]:
    """The same picture, turning, as video of every codec, bare and in every container."""
    if importlib.util.find_spec("av") is None:
        return
    data = pydicom.dcmread(str(pydicom.data.get_testdata_file("examples_rgb_color.dcm", download=False)))
    pixels = np.ascontiguousarray(data.pixel_array[:96, :128])
    data.Rows, data.Columns, data.NumberOfFrames = 96, 128, _FRAMES
    for codec, encoder, syntax, forms in (
        ("MPEG-2", "mpeg2video", ".100", ("mpeg2video", "vob", "mpegts")),
        ("H.264", "libx264", ".102", ("h264", "mp4", "mpegts")),
        ("HEVC", "libx265", ".107", ("hevc", "mp4")),
    ):
        for form in forms:
            yield f"{codec} in {form}", _file(data, syntax, "YBR_PARTIAL_420", _video(pixels, encoder, form))


def _video(pixels: NDArray[np.uint8], encoder: str, form: str) -> bytes:
    av = importlib.import_module("av")
    out = io.BytesIO()
    threads = {"x264-params": "threads=1", "x265-params": "log-level=none:pools=none:frame-threads=1"}
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream(encoder, rate=25, options=threads)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 6, 2
        for index in range(_FRAMES):
            shown = np.ascontiguousarray(np.roll(pixels, 5 * index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def _file(data: pydicom.Dataset, syntax: str, photometric: str, encoded: bytes) -> bytes:
    data.PixelData = encapsulate([encoded])
    data["PixelData"].is_undefined_length = True
    data.PlanarConfiguration, data.PhotometricInterpretation = 0, photometric
    data.file_meta.TransferSyntaxUID = HTJ2KLossless  # pydicom 3.0 knows no JPEG XL
    written = io.BytesIO()
    data.save_as(written)
    return written.getvalue().replace(HTJ2KLossless.encode(), f"1.2.840.10008.1.2.4{syntax}".encode())


def flip_bits(data: bytearray, rng: random.Random) -> None:
    """Flip a few bits anywhere, more often in the first kilobytes."""
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        place = rng.randrange(min(len(data), 4096)) if rng.random() < 0.5 else rng.randrange(len(data))
        data[place] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    """Cut the end off."""
    del data[rng.randrange(len(data)) :]


def break_length(data: bytearray, rng: random.Random) -> None:
    """Write an absurd number over four or two bytes, often where an item or element states its length."""
    places = [rng.randrange(len(data) - 4)]
    for pattern in (
        _ITEM,
        b"OW\0\0",
        b"OB\0\0",
        b"SQ\0\0",
        b"UN\0\0",
        b"\xff\x4f\xff\x51",
        b"stsz",
        b"stco",
        b"ctts",
        b"jxlc",
        b"\xff\xc0",
        b"\xff\xc3",
        b"\xff\xf7",
    ):
        at = data.find(pattern, rng.randrange(len(data)))
        if at >= 0:
            places.append(at + 4)
    place = min(rng.choice(places), len(data) - 4)
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, rng.getrandbits(32), rng.getrandbits(16)))
    if rng.random() < 0.5:
        data[place : place + 4] = struct.pack("<L", value)
    else:
        data[place : place + 2] = struct.pack("<H", value & 0xFFFF)


def change_element(data: bytearray, rng: random.Random) -> None:
    """Overwrite the tag, VR, length or value of an element of the pixel description, or delete the element."""
    tags = [
        b"\x28\x00" + bytes([low, high])
        for low, high in ((2, 0), (4, 0), (6, 0), (8, 0), (16, 0), (17, 0), (0, 1), (1, 1))
    ]
    tags += [
        b"\x28\x00\x02\x01",
        b"\x28\x00\x03\x01",
        b"\x28\x00\x01\x11",
        b"\x28\x00\x01\x12",
        b"\xe0\x7f\x10\x00",
        b"\x02\x00\x10\x00",
    ]
    at = data.find(rng.choice(tags))
    if at < 0:
        flip_bits(data, rng)
    elif rng.random() < 0.3:
        del data[at : at + rng.choice((8, 10, 12))]
    else:
        for _ in range(rng.choice((1, 2, 4))):
            place = min(at + rng.randrange(14), len(data) - 1)
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def swap_fragments(data: bytearray, rng: random.Random) -> None:
    """Exchange two stretches of the file, between item tags where there are some."""
    starts, at = [], data.find(_ITEM)
    while at >= 0 and len(starts) < 500:
        starts.append(at)
        at = data.find(_ITEM, at + 4)
    if len(starts) < 3:
        starts = sorted(rng.sample(range(len(data)), 4))
    first, second = sorted(rng.sample(range(len(starts) - 1), 2)) if len(starts) > 2 else (0, 0)
    a, b, c, d = starts[first], starts[first + 1], starts[second], starts[second + 1]
    data[:] = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def insert_junk(data: bytearray, rng: random.Random) -> None:
    """Insert or repeat some bytes."""
    place, size = rng.randrange(len(data)), rng.choice((1, 2, 7, 64, 1024))
    junk = rng.randbytes(size) if rng.random() < 0.5 else bytes(data[place : place + size])
    data[place:place] = junk


MUTATORS = (
    flip_bits,
    flip_bits,
    truncate,
    break_length,
    break_length,
    change_element,
    change_element,
    swap_fragments,
    insert_junk,
)


def mutant(number: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The mutant of a number: the name of its seed and mutations, and its bytes."""
    rng = random.Random(number)
    name, original = rng.choice(files)
    data = bytearray(original)
    story = [name]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if len(data) > 64:
            change = rng.choice(MUTATORS)
            change(data, rng)
            story.append(change.__name__)
    return " ".join(story), bytes(data)
