"""JPEG XL: what its first bytes say, held against the encoder's own input, and what is refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_monai.dicom import read_frame
from fetal_monai.dicom.jpegxl import inspect_jpegxl
from fetal_monai.dicom.limits import Fault
from fetal_monai.errors import DicomReadError

imagecodecs = pytest.importorskip("imagecodecs", reason="install the package imagecodecs")
LOSSLESS = "1.2.840.10008.1.2.4.110"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 400),
    columns=st.integers(1, 400),
    colour=st.booleans(),
    bits=st.integers(2, 16),
    container=st.booleans(),
)
def test_the_header_says_what_was_encoded(rows, columns, colour, bits, container):
    pixels = np.zeros((rows, columns, 3) if colour else (rows, columns), np.uint8 if bits <= 8 else np.uint16)
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, bitspersample=bits, usecontainer=container, effort=1)
    stream = inspect_jpegxl(data)
    assert (stream.rows, stream.columns, stream.components) == (rows, columns, 3 if colour else 1)
    assert (stream.precision, stream.ycc) == (bits, None)


def test_the_common_ratios_of_width_to_height_and_large_images():
    for rows, columns in ((480, 480), (500, 600), (600, 800), (600, 900), (1080, 1920), (800, 1000), (500, 1000)):
        stream = inspect_jpegxl(imagecodecs.jpegxl_encode(np.zeros((rows, columns), np.uint8), effort=1))
        assert (stream.rows, stream.columns) == (rows, columns)
    wide = inspect_jpegxl(imagecodecs.jpegxl_encode(np.zeros((1, 70_000), np.uint8), effort=1))
    assert (wide.rows, wide.columns) == (1, 70_000)


def bits(*fields):
    """Numbers and their widths as bytes, the lowest bit first."""
    value, place = 0, 0
    for number, width in fields:
        value |= number << place
        place += width
    return value.to_bytes(place // 8 + 8, "little")


SIZE = ((0x0AFF, 16), (1, 1), (5, 5), (0, 3), (7, 5))  # 48 x 64


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bits(*SIZE, (0, 1), (1, 1), (5, 3)), "orientation 6"),
        (bits(*SIZE, (0, 1), (1, 1), (0, 3), (0, 1), (1, 1)), "preview"),
        (bits(*SIZE, (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (1, 1)), "animation"),
        (bits(*SIZE)[:5], "ends in its header"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08free" * 3, "holds no JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\0free" * 3, "holds no JPEG XL image"),
        (b"\xff\xd8\xff\xe0", "holds no JPEG XL image"),
        (imagecodecs.jpegxl_encode(np.zeros((8, 8, 4), np.uint8)), "channels besides its colours"),
        (imagecodecs.jpegxl_encode(np.zeros((8, 8), np.float32)), "floating point"),
    ],
)
def test_what_dicom_has_no_place_for_is_named(data, words):
    with pytest.raises(Fault, match=words):
        inspect_jpegxl(data)


def test_another_size_and_every_truncation_are_refused(kit, tmp_path):
    frames = kit.frames(1)
    data = imagecodecs.jpegxl_encode(frames[0], lossless=True)
    larger = kit.write(tmp_path / "a.dcm", frames, encoded=[data], syntax=LOSSLESS, size=(96, 64))
    with pytest.raises(DicomReadError, match="48 x 64, the header says 96 x 64"):
        read_frame(larger)
    for length in range(1, len(data) - 2, max(len(data) // 40, 1)):
        path = kit.write(tmp_path / "b.dcm", frames, encoded=[data[:length]], syntax=LOSSLESS)
        with pytest.raises(DicomReadError):
            read_frame(path)
