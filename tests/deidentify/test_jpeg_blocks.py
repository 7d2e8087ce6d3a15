"""Blocks of JPEG images: what is kept is kept bit for bit, by decoders that we did not write."""

from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGBaseline8Bit

from fetal_monai.deidentify.instance_writer import write_deidentified
from fetal_monai.deidentify.jpeg_blocks import blank_blocks, blocks_to_keep, is_plain_beside
from fetal_monai.deidentify.jpeg_worker import JpegWorker
from fetal_monai.deidentify.pseudonyms import Pseudonyms
from fetal_monai.dicom import read_frame
from fetal_monai.dicom.codestream import inspect_jpeg
from transfer_syntaxes import strip_markers

COMMENT = b"\xff\xfe\x00\x0aDOE JANE"


def picture(rows, columns):
    noise = np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), np.uint8)
    return np.ascontiguousarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX))


def blank(data, mask, folder):
    stream = inspect_jpeg(data)
    dark = [index == 0 for index in range(stream.components)]
    return blank_blocks(data, blocks_to_keep(stream, mask), dark, folder)


@given(
    rows=st.integers(9, 70),
    columns=st.integers(9, 70),
    sampling=st.sampled_from(["444", "422", "420", "440", "411", "Gray"]),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
@settings(max_examples=60)
def test_kept_pixels_are_identical_and_the_rest_is_black(tmp_path_factory, rows, columns, sampling, corners):
    image = picture(rows, columns)
    if sampling == "Gray":
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image[..., :1]), 80, colorspace="GRAY")
    else:
        data = simplejpeg.encode_jpeg(image, 80, colorsubsampling=sampling)
    (top, bottom), (left, right) = (
        sorted(int(c * n) for c in pair) for pair, n in ((corners[:2], rows), (corners[2:], columns))
    )
    mask = np.zeros((rows, columns), bool)
    mask[top : bottom + 1, left : right + 1] = True
    after = blank(data, mask, tmp_path_factory.mktemp("jpeg"))
    for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_COLOR | cv2.IMREAD_REDUCED_COLOR_2):  # another libjpeg, and its scaling
        assert cv2.imdecode(np.frombuffer(after, np.uint8), flag) is not None
    before, now = (cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR) for code in (data, after))
    assert np.array_equal(before[mask], now[mask])
    far = cv2.dilate(mask.astype(np.uint8), np.ones((2 * 33 + 1, 2 * 33 + 1), np.uint8)) == 0
    assert not now[far].any()


def test_names_beside_the_pixels_go_and_colour_markers_stay(tmp_path):
    plain = simplejpeg.encode_jpeg(picture(32, 32), 90)
    thumbnail = b"\xff\xe0" + (16 + 3).to_bytes(2, "big") + plain[6:18] + b"\1\1" + b"DOE"
    exif = b"\xff\xe1\x00\x0aDOE JANE"
    data = plain[:2] + thumbnail + exif + COMMENT + plain[20:]
    after = blank(data, np.ones((32, 32), bool), tmp_path)
    assert b"DOE" not in after
    assert np.array_equal(simplejpeg.decode_jpeg(after), simplejpeg.decode_jpeg(plain))
    assert inspect_jpeg(after).ycc is True
    assert (
        inspect_jpeg(blank(strip_markers(data), np.ones((32, 32), bool), tmp_path)).ycc
        is inspect_jpeg(strip_markers(data)).ycc
    )


def test_a_short_colour_marker_is_none(tmp_path):
    plain = strip_markers(simplejpeg.encode_jpeg(picture(32, 32), 90, colorsubsampling="444"))
    short = plain[:2] + b"\xff\xee\x00\x0cAdobe\x00\x64\x00\x00\x00" + plain[2:]  # as in pydicom's SC_rgb_jpeg.dcm
    after = blank(short, np.ones((32, 32), bool), tmp_path)
    assert np.array_equal(simplejpeg.decode_jpeg(after), simplejpeg.decode_jpeg(short))


def test_text_across_the_border_of_a_block_is_seen(tmp_path):
    mask = np.zeros((48, 64), bool)
    mask[20:44, 20:60] = True
    clean = picture(48, 64)
    clean[~mask] = 0
    lettered = clean.copy()
    cv2.putText(lettered, "DOE", (20, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1)
    lettered[mask] = clean[mask] = 40
    for image, plain in ((clean, False), (lettered, False), (np.full_like(clean, 20), True)):
        data = simplejpeg.encode_jpeg(image, 95, colorsubsampling="444")
        after = simplejpeg.decode_jpeg(blank(data, mask, tmp_path))
        shown = is_plain_beside(after, inspect_jpeg(data), mask)
        assert shown is plain or image is clean


def test_a_damaged_image_ends_the_worker_and_nothing_else(tmp_path):
    data = simplejpeg.encode_jpeg(picture(32, 48), 90)
    kept = blocks_to_keep(inspect_jpeg(data), np.ones((32, 48), bool))
    with JpegWorker() as worker:
        assert worker.blank(data[:100], kept, [True, False, False]) is None
        assert worker.blank(b"no image", kept, [True, False, False]) is None
        after = worker.blank(data, kept, [True, False, False])
        folder = worker._folder.name
        assert np.array_equal(simplejpeg.decode_jpeg(after), simplejpeg.decode_jpeg(data))
    assert not Path(folder).exists()


def test_colours_without_markers_stay_what_the_header_says(kit, tmp_path):
    """Components that are RGB and do not say so: a JFIF marker, which libjpeg would write, would turn them."""
    frames = kit.screens(1)
    planes = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(f[..., [1, 0, 2]]), 95, colorsubsampling="444") for f in frames
    ]
    data = kit.dataset(frames, jpegs=[strip_markers(code) for code in planes], PhotometricInterpretation="RGB")
    source = kit.save(data, tmp_path / "a.dcm")
    with JpegWorker() as worker:
        written = write_deidentified(str(source), tmp_path / "out", Pseudonyms(), worker)
    assert written.syntax == JPEGBaseline8Bit.name
    before, after = read_frame(source), read_frame(written.path)
    assert np.array_equal(before[:, kit.box[0], kit.box[1]], after[:, kit.box[0], kit.box[1]])
    assert not after[:, :32].any()
