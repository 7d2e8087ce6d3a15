"""Depth gain and shadows: known profiles at known pixels, bounds, nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_monai.transforms import RandDepthGaind, RandShadowd

GREY = torch.full((3, 60, 80), 100, dtype=torch.uint8)


@pytest.mark.parametrize("transform", [RandDepthGaind, RandShadowd])
@given(seed=st.integers(0, 2**31 - 1), height=st.integers(4, 90), width=st.integers(4, 90))
@settings(max_examples=30, deadline=None)
def test_bytes_and_floats_agree_and_stay_in_range(transform, seed, height, width):
    frame = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8))
    change = transform("image", prob=1.0)
    whole = change.set_random_state(seed)({"image": frame})["image"]
    exact = change.set_random_state(seed)({"image": frame.float()})["image"]
    assert whole.dtype == torch.uint8
    assert exact.min() >= 0
    assert exact.max() <= 255
    assert (whole.float() - exact).abs().max() <= 0.5
    again = change.set_random_state(seed)({"image": frame, "other": GREY})
    assert torch.equal(again["image"], whole)
    assert again["other"] is GREY


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_depth_gain_depends_on_depth_alone_and_keeps_its_range(seed):
    gained = RandDepthGaind("image", 1.0, 0.4).set_random_state(seed)({"image": GREY.float()})["image"]
    assert torch.equal(gained, gained[:1, :, :1].expand_as(gained))
    assert 100 * np.exp(-0.4) - 1e-3 <= gained.min()
    assert gained.max() <= 100 * np.exp(0.4) + 1e-3
    steps = gained[0, :, 0].diff().abs()
    assert steps.max() < 100 * np.exp(0.4) * (np.exp(0.8 * 5 / 59) - 1) + 1e-3, "sliders are joined by lines"


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_a_shadow_only_darkens_and_never_ends_below(seed):
    shadowed = RandShadowd("image", 1.0, 0.8).set_random_state(seed)({"image": GREY.float()})["image"][0]
    assert torch.equal(shadowed[0], GREY[0, 0].float()), "the skin is above every shadow"
    assert (shadowed.diff(dim=0) <= 1e-4).all()
    assert shadowed.min() >= 100 * (1 - 0.8) - 1e-3
    assert shadowed[-1].min() < 100 * (1 - 0.3 * 0.8 * 0.9)


@pytest.mark.parametrize("transform", [RandDepthGaind, RandShadowd])
def test_off_is_off_and_absent_keys_are_refused(transform):
    assert transform("image", prob=0.0)({"image": GREY})["image"] is GREY
    assert transform("absent", prob=1.0, allow_missing_keys=True)({"image": GREY}) == {"image": GREY}
    with pytest.raises(KeyError):
        transform("absent", prob=1.0)({"image": GREY})
