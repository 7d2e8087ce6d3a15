"""Small pictures: of the right size and the right content, whatever the shape."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.report.pictures import THUMBNAIL_WIDTH, data_uri, jpeg, still_jpeg, thumbnail
from fetal_monai.report.study_pictures import read_pictures


@given(st.integers(1, 1500), st.integers(1, 1500), st.integers(20, 300))
def test_a_small_picture_keeps_width_and_shape(height, width, wanted):
    found = thumbnail(np.zeros((height, width, 3), np.uint8), wanted)
    assert found.shape[1] <= wanted or found.shape == (height, width, 3)
    assert found.shape[0] <= max(8 * wanted, 1)
    if found.shape[1] == wanted:
        assert abs(found.shape[0] - height * wanted / width) <= 1


def test_halving_first_shows_the_same():
    across, down = np.meshgrid(np.linspace(0, 255, 1136), np.linspace(0, 255, 852))
    image = np.stack([across, down, (across + down) / 2], axis=2).astype(np.uint8)
    at_once = cv2.resize(image, (260, 195), interpolation=cv2.INTER_AREA)
    assert np.abs(thumbnail(image).astype(int) - at_once).max() <= 1


def test_a_strip_taller_than_jpeg_can_be_is_drawn():
    assert still_jpeg(np.zeros((3, 70_000, 20), np.uint8))[:2] == b"\xff\xd8"


def test_what_is_drawn_is_not_read_again(tmp_path):
    image = np.zeros((30, 400, 3), np.uint8)
    image[..., 0] = 255
    drawn = {"gone.dcm": still_jpeg(image.transpose(2, 0, 1))}
    wanted = [("gone.dcm", -1, THUMBNAIL_WIDTH), ("gone.dcm", -1, 130), ("gone.dcm", 0, 130), ("none.dcm", -1, 130)]
    found = read_pictures(wanted, drawn)
    assert list(found) == wanted[:2]
    assert found[wanted[0]] == data_uri(jpeg(thumbnail(image)))
    small = cv2.imdecode(np.frombuffer(still_jpeg(image.transpose(2, 0, 1)), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found[wanted[1]] == data_uri(thumbnail(small, 130))
    assert np.abs(small.reshape(-1, 3).mean(0) - (255, 0, 0)).max() < 3
