"""Sharp and still, and nothing else: gain does not count, frames that cannot be read stop nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from clips import textured, write_clip
from fetal_monai.dicom.regions import DataType, Region, SpatialFormat, regions_to_text
from fetal_monai.study.frame_quality import WIDTH, grey_picture, measure_clip, sharpness

PICTURE = cv2.GaussianBlur(textured(1, (120, 160))[0], (0, 0), 1.0)


@given(st.floats(0.3, 1.0), st.floats(0.5, 4.0))
def test_gain_does_not_count_and_blur_does(gain, blur):
    darker = np.rint(PICTURE * gain).astype(np.uint8)
    assert sharpness(darker) == pytest.approx(sharpness(PICTURE), rel=0.15)
    assert sharpness(cv2.GaussianBlur(PICTURE, (0, 0), blur)) < sharpness(PICTURE)
    assert sharpness(np.full((9, 9), 70, np.uint8)) == 0


def test_only_the_scanners_picture_counts():
    frame = np.zeros((3, 100, 200), np.uint8)
    frame[:, 10:40, 20:60] = 255
    region = Region(SpatialFormat.TWO_D, DataType.TISSUE, 20, 10, 59, 39, 3, 3, 0.1, 0.1)
    assert (grey_picture(frame, {"regions": regions_to_text([region])}) == 255).all()
    assert grey_picture(frame, {}).shape == (100, 200)


@pytest.mark.parametrize("width", [321, 380, 452, 453, 560, 640, 700, 904, 906, 960, 1136, 1280, 1500, 1920])
def test_a_wide_picture_is_shrunk_as_by_means_over_areas(width):
    noise = np.random.default_rng(width).integers(0, 256, (round(width * 0.75), width)).astype(np.uint8)
    large = cv2.GaussianBlur(noise, (0, 0), width / 800)  # a resolution that does not depend on the screen's
    found = grey_picture(np.stack([large] * 3), {})
    means = cv2.resize(large, (WIDTH, round(large.shape[0] * WIDTH / width)), interpolation=cv2.INTER_AREA)
    assert found.shape == means.shape
    assert np.abs(found.astype(float) - means).mean() < 2.5
    assert sharpness(found) == pytest.approx(sharpness(means), rel=0.1)


def test_a_clip_frame_by_frame(tmp_path):
    frames = textured(40)
    frames[20:] = textured(1, seed=1)[0]  # a cut
    frames[30] = cv2.GaussianBlur(frames[30], (0, 0), 2)
    write_clip(tmp_path / "clip.dcm", frames)
    found = measure_clip(str(tmp_path / "clip.dcm"), 40)
    assert found.unreadable == {}
    assert found.sharpness.argmin() == 30
    np.testing.assert_allclose(found.stability[:19], 1)
    assert found.stability[[19, 20]].max() < 0.5
    assert found.stability[22] == 1


def test_frames_that_are_not_there(tmp_path):
    write_clip(tmp_path / "clip.dcm", textured(10), NumberOfFrames=14)
    told = []
    found = measure_clip(str(tmp_path / "clip.dcm"), 14, tick=told.append)
    assert sorted(found.unreadable) == [10, 11, 12, 13]
    assert np.isfinite(found.sharpness).sum() == np.isfinite(found.stability).sum() == 10
    assert sum(told) == 14


def test_a_frame_whose_neighbours_cannot_be_read_may_be_as_unsteady_as_any(tmp_path):
    frames = np.concatenate([textured(10), *(textured(1, seed=seed) for seed in range(1, 11))])  # still, then whirling
    parts = [simplejpeg.encode_jpeg(frame[..., None].copy(), 90, "GRAY") for frame in frames]
    parts[14] = parts[16] = b"\xff\xd8 no picture"
    data = write_clip(tmp_path / "clip.dcm", frames)
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate(parts)
    data["PixelData"].VR = "OB"
    data.save_as(tmp_path / "clip.dcm", enforce_file_format=True)
    found = measure_clip(str(tmp_path / "clip.dcm"), 20)
    assert sorted(found.unreadable) == [14, 16]
    assert np.isnan(found.stability[[14, 16]]).all()
    assert found.stability[15] == np.nanmin(found.stability) < 0.2
    assert found.stability[:9].min() > 0.99
