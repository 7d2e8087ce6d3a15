"""Known colours at known pixels: what is hidden is black, what is kept is untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.audit.screen import (
    VARIANTS,
    add_calipers,
    anatomy,
    declared_anatomy,
    exchange_surroundings,
    hide_anatomy,
    hide_surroundings,
    variants,
)
from fetal_monai.dicom.regions import Region, regions_to_text
from fetal_monai.inference.inputs import Frame, Run, decode_run


def frame(value, size=(100, 120), box=None):
    """One grey, with a tissue region (top, bottom, left, right) where a box is given."""
    meta = {}
    if box:
        top, bottom, left, right = box
        place = {"left": left, "top": top, "right": right - 1, "bottom": bottom - 1}
        region = Region(1, 1, **place, units_x=3, units_y=3, delta_x=0.1, delta_y=0.1)
        meta = {"regions": regions_to_text([region]), "spatial_shape": list(size)}
    return Frame("x.dcm", "1.2", -1, np.full((3, *size), value, np.uint8), meta)


def test_the_declared_region_is_the_anatomy():
    shown = anatomy(frame(9, box=(10, 60, 20, 90)))
    assert shown[10:60, 20:90].all()
    assert shown.sum() == 50 * 70


def test_without_a_region_all_below_the_banner_is():
    assert (
        declared_anatomy(frame(9))
        == declared_anatomy(Frame("x.dcm", "1", -1, frame(9).pixels, {"regions": "[]"}))
        == []
    )
    shown = anatomy(frame(9))
    assert not shown[:8].any()
    assert shown[8:].all()


def test_hiding_one_part_leaves_the_other():
    whole = frame(200, box=(10, 60, 20, 90))
    without, alone = hide_anatomy(whole).pixels, hide_surroundings(whole).pixels
    assert (without[:, 10:60, 20:90] == 0).all()
    assert (alone[:, 10:60, 20:90] == 200).all()
    np.testing.assert_array_equal(without + alone, whole.pixels)
    assert (whole.pixels == 200).all(), "the frame itself is not changed"


def test_the_surroundings_are_the_donors():
    mixed = exchange_surroundings(frame(200, box=(10, 60, 20, 90)), frame(50, box=(0, 20, 0, 120))).pixels
    assert (mixed[:, 10:60, 20:90] == 200).all()
    assert (mixed[:, :10] == 0).all(), "no anatomy of the donor"
    assert (mixed[:, 60:] == 50).all()


@given(st.tuples(st.integers(40, 200), st.integers(40, 200)))
def test_a_donor_of_another_size_fits(size):
    mixed = exchange_surroundings(frame(200), frame(50, size=size)).pixels
    assert mixed.shape == (3, 100, 120)
    assert (mixed[:, 8:] == 200).all()
    assert (mixed[:, 0] == 50).all()


def test_calipers_are_drawn_on_a_copy_and_by_the_seed():
    plain = frame(0)
    first, again, other = (add_calipers(plain, np.random.RandomState(seed)).pixels for seed in (1, 1, 2))
    assert not plain.pixels.any()
    assert first.any()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_each_variant_once():
    assert len(list(variants(frame(1), frame(2), 0, 0))) == len(VARIANTS)


@pytest.fixture
def phantom_frame(phantom):
    (found,) = decode_run(Run(str(next(iter(sorted((phantom / "dicom").rglob("*.dcm"))))), [0]))
    return found


def test_the_phantoms_own_region_holds_its_sector(phantom_frame):
    outside = hide_anatomy(phantom_frame).pixels
    inside = hide_surroundings(phantom_frame).pixels
    assert outside[:, :15].any(), "the banner"
    assert not inside[:, :15].any()
    assert inside.any()
