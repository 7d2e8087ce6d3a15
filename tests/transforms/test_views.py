"""From a frame to two views: known values, geometry, and the reference's own resampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Resize
from torch.nn import functional

from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed, mask_banner, resize_frame
from fetal_monai.transforms.dual_resolution import standardise
from fetal_monai.transforms.resize import interleaved, planar
from fetal_monai.utils.serialization import rebuild
from fetal_monai.utils.shallow_view import shallow_view

SIDES = st.integers(4, 64)


def frame_of(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([0, 1, 127, 254, 255]))
def test_resizing_a_constant_frame_keeps_it(height, width, new_height, new_width, value):
    frame = torch.full((3, height, width), value, dtype=torch.uint8)
    resized = resize_frame(frame, (new_height, new_width))
    assert resized.shape == (3, new_height, new_width)
    assert resized.dtype == torch.uint8
    assert resized.unique().tolist() == [value]


@given(SIDES, SIDES, SIDES, SIDES)
def test_resizing_stays_within_the_frames_range(height, width, new_height, new_width):
    frame = frame_of(height, width) // 2 + 50
    resized = resize_frame(frame, (new_height, new_width))
    assert frame.min() <= resized.min()
    assert resized.max() <= frame.max()


@given(SIDES, SIDES, SIDES, SIDES)
def test_resizing_commutes_with_flipping(height, width, new_height, new_width):
    frame = frame_of(height, width).float()
    size = (new_height, new_width)
    flipped = resize_frame(frame.flip(-1), size)
    torch.testing.assert_close(flipped, resize_frame(frame, size).flip(-1), rtol=1e-4, atol=1e-3)


@given(SIDES, SIDES, SIDES, SIDES)
def test_bytes_are_resized_as_floating_point_is(height, width, new_height, new_width):
    frame = frame_of(height, width)
    exact = functional.interpolate(frame[None].float(), (new_height, new_width), mode="bilinear", antialias=True)[0]
    for laid_out in (frame, interleaved(frame)):
        resized = resize_frame(laid_out, (new_height, new_width))
        assert (resized.float() - exact).abs().max() <= 1.51, "two roundings to whole levels"


@given(SIDES, SIDES)
def test_interleaved_and_planar_are_layouts_of_one_frame(height, width):
    frame = frame_of(height, width)
    assert torch.equal(interleaved(frame), frame)
    assert torch.equal(planar(interleaved(frame)), frame)
    assert planar(interleaved(frame)).is_contiguous()
    crop = interleaved(frame)[:, 1:, 1:-1]
    assert torch.equal(planar(crop), frame[:, 1:, 1:-1])


@pytest.mark.parametrize("size", [(30, 40), (90, 40), (30, 120), (100, 130)], ids=str)
def test_resizing_keeps_colours_side_by_side(size):
    # Half of the speed of loading hangs on it: torch takes a slower way through memory for any other layout.
    assert resize_frame(interleaved(frame_of(90, 120)), size).stride() == (1, 3 * size[1], 3)


def test_plain_bilinear_is_the_references_resampling():
    frame = frame_of(852, 1136)
    ours = resize_frame(frame.float(), (224, 224), antialias=False)
    theirs = functional.interpolate(frame[None].float(), (224, 224), mode="bilinear", align_corners=True)[0]
    assert torch.equal(ours, theirs)


def test_resizing_moves_the_affine_as_monai_does():
    affine = torch.diag(torch.tensor([0.3, 0.2, 1.0, 1.0], dtype=torch.float64))
    frame = MetaTensor(frame_of(40, 60), affine=affine, meta={"SOPInstanceUID": "1.2"})
    resized = ResizeFramed("image", size=(20, 15))({"image": frame})["image"]
    monai = Resize((20, 15))(frame)
    torch.testing.assert_close(resized.affine, monai.affine)
    assert resized.meta["SOPInstanceUID"] == "1.2"
    assert frame.shape == (3, 40, 60), "the input must stay as it was"


@given(SIDES, SIDES, SIDES, SIDES)
def test_only_shrinking_shortens_what_is_too_long_and_nothing_else(height, width, limit_height, limit_width):
    frame = frame_of(height, width)
    size = (limit_height, limit_width)
    fitted = ResizeFramed("image", size=size, only_shrink=True)({"image": frame})["image"]
    assert fitted.shape == (3, min(height, limit_height), min(width, limit_width))
    if height <= limit_height and width <= limit_width:
        assert fitted is frame
    if height >= limit_height and width >= limit_width:
        assert torch.equal(fitted, ResizeFramed("image", size=size)({"image": frame})["image"])


def test_the_banner_of_the_reference_covers_rows_0_to_67():
    masked = mask_banner(torch.zeros(3, 852, 1136, dtype=torch.uint8))
    assert masked[:, 67, 500].tolist() == [19, 22, 25]
    assert masked[:, 68, 500].tolist() == [0, 0, 0]


@given(st.floats(0, 0.99), st.integers(1, 200))
def test_the_banner_covers_its_fraction_and_nothing_else(fraction, height):
    frame = frame_of(height, 5)
    before = frame.clone()
    masked = mask_banner(frame, fraction, fill=(1, 2, 3))
    rows = round(fraction * height)
    assert (masked[:, :rows] == torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)).all()
    assert torch.equal(masked[:, rows:], frame[:, rows:])
    assert torch.equal(frame, before), "the input must stay as it was"


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2])
def test_an_impossible_banner_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        MaskBannerd("image", fraction=fraction)


def test_views_have_their_sizes_values_and_metadata():
    frame = torch.zeros(3, 90, 120, dtype=torch.uint8)
    frame[0], frame[2] = 255, 51
    image = MetaTensor(frame, meta={"SOPInstanceUID": "1.2"})
    views = DualResolutiond("image", detailed_size=(30, 40), shallow_size=(11, 13))({"image": image, "label": 3})
    assert views["image"].shape == (3, 30, 40)
    assert views["image_shallow"].shape == (3, 11, 13)
    for view in (views["image"], views["image_shallow"]):
        assert view.dtype == torch.float32
        np.testing.assert_allclose(view.amax((1, 2)), [1, -1, 51 / 127.5 - 1], atol=1e-6)
        np.testing.assert_allclose(view.amin((1, 2)), [1, -1, 51 / 127.5 - 1], atol=1e-6)
    assert views["image"].meta["SOPInstanceUID"] == "1.2"
    assert views["label"] == 3


def test_standardising_is_the_formula_of_each_channel_and_exact_at_black_and_white():
    mean, std = (0.485, 0.456, 0.5), (0.229, 0.224, 0.5)
    frame = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    levels = np.arange(256) / 255
    for given_as in (frame, interleaved(frame.contiguous()), frame.float()):
        before = given_as.clone()
        values = standardise(given_as, mean, std)
        for channel, m, s in zip(values, mean, std, strict=True):
            np.testing.assert_allclose(channel[0], (levels - m) / s, rtol=1e-5, atol=1e-6)
        assert (values[2, 0, 0], values[2, 0, 255]) == (-1, 1)
        assert values.is_contiguous()
        assert torch.equal(given_as, before), "the input must stay as it was"


@given(SIDES, SIDES)
def test_views_lie_between_minus_one_and_one(height, width):
    views = DualResolutiond("image", (20, 20), (9, 9))({"image": frame_of(height, width)})
    for key in ("image", "image_shallow"):
        assert views[key].min() >= -1
        assert views[key].max() <= 1


def test_floating_point_frames_give_the_same_views_as_bytes():
    frame = frame_of(20, 20)
    views = DualResolutiond("image", (20, 20), None)
    torch.testing.assert_close(views({"image": frame})["image"], views({"image": frame.float()})["image"])
    assert "image_shallow" not in views({"image": frame})


@pytest.mark.parametrize(
    "transform",
    [
        ResizeFramed("image", size=[33, 44]),
        MaskBannerd("image", fraction=0.25, fill=[1, 2, 3]),
        DualResolutiond("image", [32, 32], [16, 24], mean=[0.4] * 3, std=[0.2] * 3, antialias=False),
        DualResolutiond("image", [32, 32], [16, 24], shallow_from="detailed"),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_rebuilt_transform_does_the_same(transform):
    data = {"image": frame_of(50, 60)}
    again = rebuild(transform.config)
    for key, value in transform(data).items():
        assert torch.equal(value, again(data)[key])


def test_an_unknown_source_of_the_shallow_view_is_refused():
    with pytest.raises(ValueError, match="give 'frame' or 'detailed'"):
        DualResolutiond("image", (20, 20), (9, 9), shallow_from="image")


@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 5))
def test_the_shallow_view_of_an_image_does_not_depend_on_its_batch(height, width, new_height, new_width, count):
    images = torch.stack([frame_of(height, width, seed).float() / 100 - 1 for seed in range(count)])
    together = shallow_view(images, [new_height, new_width])
    for image, view in zip(images, together, strict=True):
        assert torch.equal(shallow_view(image[None], [new_height, new_width])[0], view)
    half = shallow_view(images.half(), [new_height, new_width])
    assert half.dtype == torch.float16
