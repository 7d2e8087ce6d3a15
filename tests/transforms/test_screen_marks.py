"""Marks on frames: drawn where they say, in the layout and type that came in, anew each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from fetal_monai.transforms import RandScreenMarksd
from fetal_monai.transforms.screen_marks import COLOURS, draw_banner, draw_calipers, draw_text

BLACK = torch.zeros(3, 120, 160, dtype=torch.uint8)


@given(seed=st.integers(0, 2**31 - 1), height=st.integers(40, 200), width=st.integers(40, 200))
@settings(max_examples=30, deadline=None)
def test_marks_cover_a_little_and_leave_the_rest(seed, height, width):
    frame = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8))
    before = frame.clone()
    marked = RandScreenMarksd("image", prob=1.0).set_random_state(seed)({"image": frame})["image"]
    assert torch.equal(frame, before), "a cached frame is not written into"
    assert marked.dtype == torch.uint8
    changed = (marked != frame).any(0).float().mean()
    assert 0 < changed < 0.35


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_each_mark_is_where_it_belongs(seed):
    random = np.random.RandomState(seed)  # MONAI's transforms draw from one
    calipers, banner, text = (np.full((120, 160, 3), 60, np.uint8) for _ in range(3))
    draw_calipers(calipers, random)
    drawn = {tuple(colour) for colour in calipers.reshape(-1, 3).tolist()} - {(60, 60, 60)}
    assert len(drawn) == 1
    assert drawn <= set(COLOURS)
    draw_banner(banner, random)
    rows = np.flatnonzero((banner != 60).any((1, 2)))
    assert rows.min() == 0
    assert rows.max() < 0.2 * 120
    assert (banner[0] != 60).any(1).all(), "from edge to edge"
    draw_text(text, random, rows=(0.5, 0.9))
    assert (text[:40] == 60).all(), "letters stand on their row"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_type_metadata_and_repetition(dtype):
    frame = MetaTensor(BLACK.to(dtype), meta={"frame": 3})
    mark = RandScreenMarksd("image", prob=1.0)
    first, second, again = (mark.set_random_state(seed)({"image": frame})["image"] for seed in (0, 1, 0))
    assert first.dtype == dtype
    assert first.meta["frame"] == 3
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert RandScreenMarksd("image", prob=0.0)({"image": frame})["image"] is frame
