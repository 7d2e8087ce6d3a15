"""For each image of an audit another, whose screen it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


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
