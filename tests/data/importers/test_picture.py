"""Pixels are OpenCV's, to the last one, and damage is never passed over."""

from __future__ import annotations

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fetal_monai.data.importers.dicom_image import build_dataset, derive_identity
from fetal_monai.data.importers.picture import read_picture
from fetal_monai.dicom import read_frame
from fetal_monai.dicom.limits import Fault

SIDES = st.integers(1, 40)
PIXELS = st.tuples(SIDES, SIDES, st.sampled_from([0, 3, 4])).flatmap(
    lambda size: hnp.arrays(np.uint8, size if size[2] else size[:2])
)


def shown(content: bytes) -> np.ndarray:
    """What OpenCV reads, which is what people see."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)


def imported(content: bytes, path) -> np.ndarray:
    """What our reader reads of the DICOM that is made of it."""
    dataset = build_dataset(read_picture(content), derive_identity("folders", "a", "b", content))
    dataset.save_as(path, enforce_file_format=True)
    return np.moveaxis(read_frame(path), 0, -1)


def smooth(colour: bool = True, size=(37, 53)) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3) if colour else size, dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">HH", marker, len(body) + 2) + body + jpeg[2:]


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


@given(PIXELS)
def test_a_png_keeps_every_pixel(tmp_path_factory, pixels):
    content = cv2.imencode(".png", pixels)[1].tobytes()
    found = imported(content, tmp_path_factory.getbasetemp() / "drawn.dcm")
    np.testing.assert_array_equal(found, shown(content))


def test_a_palette_png_keeps_its_colours(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", bytes([9, 8, 7, 200, 100, 50]))
    content += chunk(b"IDAT", zlib.compress(b"\0\1\0")) + chunk(b"IEND", b"")
    assert imported(content, tmp_path / "a.dcm").tolist() == [[[200, 100, 50], [9, 8, 7]]]


@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "gray"])
@pytest.mark.parametrize("size", [(37, 53), (16, 16), (1, 1)])
def test_a_baseline_jpeg_stays_as_it_is(tmp_path, sampling, size):
    if sampling == "gray":
        content = simplejpeg.encode_jpeg(smooth(colour=False, size=size)[..., None], colorspace="GRAY")
    else:
        content = simplejpeg.encode_jpeg(smooth(size=size), colorsubsampling=sampling)
    picture = read_picture(content)
    assert picture.jpeg == content
    np.testing.assert_array_equal(imported(content, tmp_path / "a.dcm"), shown(content))


def test_what_is_no_part_of_the_image_goes_and_the_image_stays():
    plain = simplejpeg.encode_jpeg(smooth())
    content = (
        with_segment(with_segment(plain, 0xFFFE, b"Jane Doe"), 0xFFE1, exif(1) + b"Jane Doe") + b"trailing Jane Doe"
    )
    picture = read_picture(content)
    assert picture.jpeg == plain
    np.testing.assert_array_equal(picture.pixels, shown(plain))


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_jpeg_is_stored_upright(tmp_path, orientation):
    content = with_segment(simplejpeg.encode_jpeg(smooth()), 0xFFE1, exif(orientation))
    assert read_picture(content).jpeg is None
    np.testing.assert_array_equal(imported(content, tmp_path / "a.dcm"), shown(content))
    assert shown(content).shape[:2] == ((37, 53) if orientation == 3 else (53, 37))


@pytest.mark.parametrize("colour", [True, False])
def test_a_progressive_jpeg_is_decoded(tmp_path, colour):
    content = cv2.imencode(".jpg", smooth(colour), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert read_picture(content).jpeg is None
    np.testing.assert_array_equal(imported(content, tmp_path / "a.dcm"), shown(content))


WHOLE = {
    "png": cv2.imencode(".png", smooth())[1].tobytes(),
    "jpeg": simplejpeg.encode_jpeg(smooth()),
    "progressive": cv2.imencode(".jpg", smooth(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(),
}


@pytest.mark.parametrize("kind", WHOLE)
@given(share=st.floats(0, 0.99))
def test_a_picture_that_is_cut_off_is_refused(kind, share):
    content = WHOLE[kind]
    with pytest.raises(Fault):
        read_picture(content[: int(share * (len(content) - 2))])


@given(st.integers(8, len(WHOLE["png"]) - 1), st.integers(1, 255))
def test_a_png_with_one_wrong_byte_is_refused(position, change):
    content = bytearray(WHOLE["png"])
    content[position] ^= change
    with pytest.raises(Fault):
        read_picture(bytes(content))


@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=20))
def test_damage_gives_a_picture_or_our_fault(kind, changes):
    content = bytearray(WHOLE[kind])
    for position, value in changes:
        content[position % len(content)] = value
    with contextlib.suppress(Fault):
        assert read_picture(bytes(content)).pixels.dtype == np.uint8


def test_what_is_no_picture_of_8_bits_is_refused():
    deep = cv2.imencode(".png", np.arange(6, dtype=np.uint16).reshape(2, 3) * 9999)[1].tobytes()
    for content, why in ((b"", "empty"), (b"GIF89a", "neither PNG nor JPEG"), (deep, "8 bits")):
        with pytest.raises(Fault, match=why):
            read_picture(content)


def test_a_picture_of_absurd_size_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    content += struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    with pytest.raises(Fault, match="60000 x 60000"):
        read_picture(content)
