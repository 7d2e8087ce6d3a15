"""Splits: whole patients, every class shared out, the same for the same seed."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetal_monai.data.importers.plan import Item, Plan
from fetal_monai.data.importers.splits import assign_splits
from fetal_monai.errors import InputError


def plan_of(images, split=""):
    items = [Item(f"{n}.png", f"{n:04d}.png", label, patient, split) for n, (label, patient) in enumerate(images)]
    return Plan(("a", "b"), tuple(items))


IMAGES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("0123456789")), min_size=1, max_size=60)
FRACTIONS = st.floats(0, 0.5)


@given(IMAGES, FRACTIONS, FRACTIONS, st.integers(0, 1000), st.sampled_from(["", "train", "test"]))
@example([("a", "0"), ("b", "1")], 5e-324, 5e-324, 0, "")  # one over it is infinite
def test_no_patient_is_in_two_splits_and_no_image_is_lost(images, val, test, seed, given_split):
    plan = plan_of(images, given_split)
    done = assign_splits(plan, val_fraction=val, test_fraction=test, seed=seed)
    assert sorted(item.title for item in done.items) == sorted(item.title for item in plan.items)
    homes = {}
    for item in done.items:
        assert homes.setdefault(item.patient, item.split) == item.split
        assert given_split != "test" or item.split == "test"
        assert given_split != "train" or item.split in {"train", "val"}
    assert any(item.split == "train" for item in done.items) or given_split == "test"
    shuffled = Plan(plan.class_names, plan.items[::-1])
    assert assign_splits(shuffled, val_fraction=val, test_fraction=test, seed=seed).items == done.items


def test_shares_and_classes_are_about_as_asked():
    images = [("a" if patient % 4 else "b", str(patient)) for patient in range(400) for _ in range(2)]
    done = assign_splits(plan_of(images), val_fraction=0.15, test_fraction=0.2, seed=0)
    share = Counter((item.split, item.label) for item in done.items)
    for label, total in (("a", 600), ("b", 200)):
        assert abs(share["test", label] / total - 0.2) < 0.03
        assert abs(share["val", label] / (share["val", label] + share["train", label]) - 0.15) < 0.03


def test_another_seed_is_another_draw():
    images = [("a", str(patient)) for patient in range(40)]
    draws = [assign_splits(plan_of(images), val_fraction=0.2, test_fraction=0.2, seed=seed).items for seed in (0, 1)]
    assert draws[0] != draws[1]


def test_splits_of_the_source_stay():
    items = [
        Item(f"{n}", f"{n}", "a", f"{n}", split) for n, split in enumerate(["train", "val", "test", "train", "train"])
    ]
    done = assign_splits(Plan(("a",), tuple(items)), val_fraction=0.5, test_fraction=0.5, seed=0)
    assert done.items == tuple(items)


def test_what_cannot_be_is_said():
    done = assign_splits(plan_of([("a", "1"), ("b", "1")]), val_fraction=0.2, test_fraction=0.2, seed=0)
    assert "too few patients to cut val from train" in done.notes
    overlap = tuple(itertools.chain(plan_of([("a", "1")], "train").items, plan_of([("a", "1")], "test").items))
    notes = assign_splits(Plan(("a",), overlap), val_fraction=0, test_fraction=0, seed=0).notes
    assert any("1 patients in two splits" in note for note in notes)
    half = (*plan_of([("a", "1")], "train").items, Item("x", "x.png", "a", "2"))
    with pytest.raises(InputError, match=r"x\.png: has no split"):
        assign_splits(Plan(("a",), half), val_fraction=0, test_fraction=0, seed=0)
    with pytest.raises(InputError, match="--val-fraction"):
        assign_splits(plan_of([("a", "1")]), val_fraction=0.6, test_fraction=0, seed=0)
