"""Splits where the source has none: by patient, stratified by class, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fetal_monai.data.importers.plan import Item, Plan
from fetal_monai.data.row_problems import SPLITS
from fetal_monai.data.splits import most_parts, patient_folds
from fetal_monai.errors import InputError


def assign_splits(plan: Plan, *, val_fraction: float, test_fraction: float, seed: int) -> Plan:
    """Give every image of a plan a split; those that the source gives stay.

    Where it gives none, `test` is cut from all and `val` from the rest; where it gives some but no `val`, that is cut
    from `train`. Whole patients are cut, so that shares are approximate.

    Args:
        plan: whose items have a split each, or none of them.
        val_fraction: of the images that `val` is cut from together with `train`; 0 cuts none.
        test_fraction: of all images; 0 cuts none.
        seed: of the draw.

    Returns:
        The plan with splits, in the order of its titles, and with notes on what could not be.

    Raises:
        InputError: if a fraction is not from 0 to 0.5, or only some items have a split.
    """
    for option, fraction in (("--val-fraction", val_fraction), ("--test-fraction", test_fraction)):
        if not 0 <= fraction <= 0.5:
            raise InputError(option, [f"{fraction} is not from 0 to 0.5; give the share of images"])
    items = sorted(plan.items, key=lambda item: item.title)
    without = [item.title for item in items if not item.split]
    if without and len(without) < len(items):
        raise InputError(
            "splits", [f"{title}: has no split although others have; give all of them one" for title in without]
        )
    notes = list(plan.notes)
    if without:
        items = [replace(item, split="train") for item in items]
        items = _cut(items, "test", test_fraction, seed, notes)
    if not any(item.split == "val" for item in items):
        items = _cut(items, "val", val_fraction, seed, notes)
    notes += [f"no image is in {split}" for split in SPLITS if not any(item.split == split for item in items)]
    homes: dict[str, set[str]] = {}
    for item in items:
        homes.setdefault(item.patient, set()).add(item.split)
    strays = [patient for patient, splits in homes.items() if len(splits) > 1]
    if strays:
        notes.append(
            f"the source has {len(strays)} patients in two splits ({', '.join(strays[:3])}), which training refuses; "
            "keep each in one"
        )
    return replace(plan, items=tuple(items), notes=tuple(notes))


def _cut(items: Sequence[Item], split: str, fraction: float, seed: int, notes: list[str]) -> list[Item]:
    """Move about a fraction of the training images to a split, whole patients."""
    train = [index for index, item in enumerate(items) if item.split == "train"]
    labels = [items[index].label for index in train]
    patients = [items[index].patient for index in train]
    if not fraction or not train:
        return list(items)
    folds = round(min(1 / fraction, most_parts(labels, patients)))  # 1 / fraction may be infinite
    if folds < 2:
        notes.append(f"too few patients to cut {split} from train")
        return list(items)
    _, chosen = patient_folds(folds, labels, patients, seed=seed)[0]
    moved = {train[index] for index in chosen}
    return [replace(item, split=split) if index in moved else item for index, item in enumerate(items)]
