"""The images of an audit, and for each another whose screen it gets."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from fetal_monai.data import load_datalists
from fetal_monai.data.annotations import read_annotations


def audited_images(
    annotations: str | PathLike[str], data: str | PathLike[str], class_names: Sequence[str], split: str
) -> tuple[list[dict[str, Any]], list[str] | None]:
    """List the images of a split, and which scanner each is from.

    Args:
        annotations: the CSV of labels.
        data: the folder with the images.
        class_names: of the model.
        split: train, val or test.

    Returns:
        Items as `load_datalists` gives them; the column `device` of the same rows, None where there is none.

    Raises:
        InputError: with all that is wrong with the table, or if the split is empty.
    """
    items = load_datalists(annotations, data, class_names, splits=[split])[split]
    table = read_annotations(annotations)
    if "device" not in table:
        return items, None
    return items, [str(device) for device in table.loc[table["split"] == split, "device"]]


def choose_donors(items: Sequence[dict[str, Any]], random: np.random.Generator) -> list[int]:
    """Choose for each image one of another class, whose surroundings it gets.

    Args:
        items: with `label` and `patient_id`.
        random: where they are drawn from.

    Returns:
        An index for each item: of another class and, where there is one, of another patient. Classes are drawn first,
        so that each is a donor as often.
    """
    labels = np.array([item["label"] for item in items])
    patients = np.array([str(item["patient_id"]) for item in items])
    donors = []
    for label, patient in zip(labels, patients, strict=True):
        of = random.choice(np.unique(labels[labels != label]))
        candidates = np.flatnonzero(labels == of)
        others = candidates[patients[candidates] != patient] if patient else candidates
        donors.append(int(random.choice(others if len(others) else candidates)))
    return donors
