"""Random transforms: their probabilities, ranges and what they must not touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from monai.transforms import Compose, RandAxisFlipd

from fetal_monai.transforms import RandColorJitterd, RandCropByAread, RandGrayscaled

RED = torch.tensor([200, 10, 30], dtype=torch.uint8).view(3, 1, 1)


@given(st.integers(8, 300), st.integers(8, 300), st.integers(0, 10_000))
def test_a_crop_lies_inside_the_frame(height, width, seed):
    crop = RandCropByAread("image", prob=1.0).set_random_state(seed)
    top, left, crop_height, crop_width = crop.draw_box(height, width)
    assert 0 < crop_height <= height
    assert 0 < crop_width <= width
    assert 0 <= top <= height - crop_height
    assert 0 <= left <= width - crop_width


def test_crops_of_a_usual_frame_have_the_area_and_aspect_asked_for():
    crop = RandCropByAread("image", prob=1.0, scale=(0.8, 0.9), aspect=(0.9, 1.2)).set_random_state(0)
    boxes = [crop.draw_box(852, 1136) for _ in range(300)]
    areas = np.array([height * width / (852 * 1136) for _, _, height, width in boxes])
    aspects = np.array([width / height for _, _, height, width in boxes])
    assert areas.min() >= 0.799
    assert areas.max() <= 0.901
    assert aspects.min() >= 0.899
    assert aspects.max() <= 1.201


def test_a_frame_outside_the_aspect_range_is_cropped_to_its_centre():
    crop = RandCropByAread("image", prob=1.0, scale=(0.9, 1.0), aspect=(0.9, 1.2)).set_random_state(0)
    assert crop.draw_box(100, 1000) == (0, 440, 100, 120)
    assert crop.draw_box(1000, 90) == (450, 0, 100, 90)


@pytest.mark.parametrize("size", [(1080, 1920), (480, 720), (1136, 852), (414, 600)], ids=str)
def test_frames_of_all_proportions_lose_the_shares_of_the_screen(size):
    def shares(height, width):
        crop = RandCropByAread("image", prob=1.0, proportions=(852, 1136)).set_random_state(0)
        boxes = np.array([crop.draw_box(height, width) for _ in range(2000)])
        return boxes / (height, width, height, width)

    on_screen, elsewhere = shares(852, 1136), shares(*size)
    for share in range(4):
        quantiles = [np.quantile(boxes[:, share], np.linspace(0.05, 0.95, 10)) for boxes in (on_screen, elsewhere)]
        np.testing.assert_allclose(*quantiles, atol=0.02)
    assert len(np.unique(elsewhere.round(2), axis=0)) > 200, "crops must vary"


def test_probabilities_are_kept():
    crop = RandCropByAread("image", prob=0.5).set_random_state(1)
    frame = torch.zeros(3, 85, 113, dtype=torch.uint8)
    share = np.mean([crop({"image": frame})["image"].shape != frame.shape for _ in range(2000)])
    assert share == pytest.approx(0.5, abs=0.04)


def test_the_recipes_flip_turns_the_image_and_not_the_colours(root: Path):
    """The reference draws the axis from the last two of (H, W, C): half of its flips swap red and blue."""
    recipe = yaml.safe_load((root / "bundle/configs/train.yaml").read_text())["augmentation"]
    (config,) = [step for step in recipe if step["_target_"] == "RandAxisFlipd"]
    assert config["prob"] == 0.7
    flip = RandAxisFlipd(keys="image", prob=1.0).set_random_state(0)
    frame = RED.repeat(1, 4, 6)
    frame[:, 0, 0] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    corners = set()
    for _ in range(50):
        flipped = flip({"image": frame})["image"]
        assert flipped[:, 1, 2].tolist() == [200, 10, 30]
        (corner,) = (flipped[0] == 1).nonzero().tolist()
        assert flipped[:, corner[0], corner[1]].tolist() == [1, 2, 3]
        corners.add(tuple(corner))
    assert corners == {(3, 0), (0, 5)}, "both axes are drawn"


def test_the_recipes_augmentation_keeps_bytes_as_they_are_where_it_is_off(root: Path):
    recipe = yaml.safe_load((root / "bundle/configs/train.yaml").read_text())["augmentation"]
    off = [step for step in recipe if step["prob"] == 0.0]
    assert len(off) == 4
    transform = Compose(ConfigParser({"steps": off}).get_parsed_content("steps")).set_random_state(0)
    frame = torch.randint(0, 256, (3, 30, 40), dtype=torch.uint8)
    for _ in range(20):
        assert torch.equal(torch.as_tensor(transform({"image": frame})["image"]), frame)


def test_grey_is_the_luminance_of_itu_r_601():
    grey = RandGrayscaled("image", prob=1.0)({"image": RED})["image"]
    assert grey.flatten().tolist() == [round(0.299 * 200 + 0.587 * 10 + 0.114 * 30)] * 3
    assert grey.dtype == torch.uint8


@given(st.integers(0, 1000))
def test_colour_jitter_moves_colours_by_no_more_than_its_strength(seed):
    jitter = RandColorJitterd("image", prob=1.0, strength=0.05).set_random_state(seed)
    frame = torch.full((3, 4, 4), 100, dtype=torch.uint8)  # grey and flat: only brightness can change it
    changed = jitter({"image": frame})["image"]
    assert changed.dtype == torch.uint8
    assert changed.unique().numel() == 1
    assert 94 <= changed.unique().item() <= 106


def test_the_same_seed_draws_the_same():
    frame = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    steps = [RandCropByAread("image", 0.5), RandColorJitterd("image", 0.5, 0.2), RandGrayscaled("image", 0.5)]
    first = [Compose(steps).set_random_state(7)({"image": frame})["image"] for _ in range(3)]
    second = [Compose(steps).set_random_state(7)({"image": frame})["image"] for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
