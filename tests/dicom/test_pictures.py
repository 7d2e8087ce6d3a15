"""PNG and JPEG through the reader of DICOM: the pixels that OpenCV and Pillow see, and metadata of the same shape."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.data import list_data_collate
from monai.transforms import LoadImaged
from PIL import Image, ImageOps
from pydicom.data import get_testdata_file

from fetal_monai.dicom import FrameRef, UltrasoundReader, open_image, read_frame
from fetal_monai.errors import DicomReadError

SCREEN = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def encoded(suffix, pixels=SCREEN, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, {".png": "PNG", ".jpg": "JPEG"}[suffix], **options)
    return stream.getvalue()


def load(path, **options):
    reader = UltrasoundReader(**options)
    return LoadImaged("image", reader=reader, dtype=np.uint8, expanduser=False)({"image": FrameRef(str(path))})


@pytest.mark.parametrize("pixels", [SCREEN, SCREEN[..., 0]], ids=["colour", "grey"])
def test_a_png_is_read_as_pillow_reads_it_whatever_its_name(tmp_path, pixels):
    path = tmp_path / "image.dcm"  # the content counts
    path.write_bytes(encoded(".png", pixels))
    theirs = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(np.moveaxis(read_frame(path), 0, -1), theirs)
    np.testing.assert_array_equal(read_frame(path, 0), read_frame(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(".jpg", exif=exif, quality=95, subsampling=0))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    image = load(path)["image"]
    assert list(image.meta["spatial_shape"]) == list(image.shape[-2:]) == list(upright.shape[:2])
    assert np.abs(np.moveaxis(image.numpy(), 0, -1).astype(int) - upright).max() <= 2


@pytest.mark.parametrize("isolated", [False, True])
def test_pictures_and_dicom_are_in_one_batch(tmp_path, isolated):
    (tmp_path / "a.png").write_bytes(encoded(".png", np.zeros((240, 320, 3), np.uint8)))
    dicom = LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False)(
        {"image": FrameRef(get_testdata_file("examples_ybr_color.dcm"), 3)}
    )
    picture = load(tmp_path / "a.png", isolated=isolated)
    assert picture["image"].meta.keys() == dicom["image"].meta.keys()
    assert list_data_collate([dicom, picture])["image"].shape == (2, 3, 240, 320)
    assert picture["image"].meta["patient"] == ""


def test_frames_other_than_the_one_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    with (
        open_image(tmp_path / "a.png") as image,
        pytest.raises(DicomReadError, match=r"a\.png, frame 3: .* has one; use -1"),
    ):
        image.frame(3)


def huge_png():
    content = bytearray(encoded(".png"))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (huge_png(), "no scanner's image"),
        (encoded(".png")[:-20], "cut off"),
        (encoded(".jpg")[:-20], "cut off"),
        (encoded(".png").replace(b"IDAT", b"IDAU"), "checksum"),
    ],
)
def test_damage_and_bombs_are_told_before_a_decoder_runs(tmp_path, content, message, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DicomReadError, match=rf"a\.png: .*{message}"):
        read_frame(tmp_path / "a.png")


@given(
    suffix=st.sampled_from([".png", ".jpg"]),
    start=st.integers(0, 400),
    noise=st.binary(min_size=1, max_size=12),
    end=st.integers(0, 3000),
)
def test_damage_is_one_error_or_an_image(tmp_path_factory, suffix, start, noise, end):
    content = bytearray(encoded(suffix))[: 3 + end]
    content[start : start + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(content)
    with contextlib.suppress(DicomReadError):  # and nothing else
        assert read_frame(path).shape[0] == 3
