"""Whether the device gives the class away: then a network may learn the device."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats.contingency import association

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import ImageTable

MIN_EXCESS = 0.2
_PERMUTATIONS = 499
_P = 0.01


def device_by_class(images: ImageTable) -> list[Finding]:
    """Measure how far device and class go together, by Cramer's V.

    Images of one patient come from one device, so that V is large by chance where patients are few. It is therefore
    held against 499 drawn exchanges of devices between patients (seeded).

    Args:
        images: all of them.

    Returns:
        A warning where V is above that of the median exchange by 0.2, and at most 1 in 100 exchanges reach it.
    """
    columns = (images.devices(), images.words("label"), images.patients())
    names, classes, patients = (np.array(column, dtype=object) for column in columns)
    known = (names != "") & (classes != "")
    device, devices = pd.factorize(names[known], sort=True)
    label, labels = pd.factorize(classes[known])
    patient, _ = pd.factorize(patients[known], sort=True)
    if min(len(devices), len(labels)) < 2:
        return []
    measured = _cramers_v(device, label)
    of_patient = np.zeros(patient.max() + 1, np.int64)
    of_patient[patient] = device
    random = np.random.default_rng(0)
    chance = [_cramers_v(random.permutation(of_patient)[patient], label) for _ in range(_PERMUTATIONS)]
    p = (1 + np.sum(np.asarray(chance) >= measured - 1e-9)) / (1 + _PERMUTATIONS)
    if measured < np.median(chance) + MIN_EXCESS or p > _P:
        return []
    text = f"device and class go together: Cramer's V is {measured:.2f}, and {np.median(chance):.2f} by chance"
    remedy = "a network may learn the device; balance the devices, or evaluate on each by itself"
    return [Finding("warning", "confounding", f"{text} ({', '.join(devices)}); {remedy}")]


def _cramers_v(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    rows, columns = int(one.max()) + 1, int(other.max()) + 1
    table = np.bincount(one * columns + other, minlength=rows * columns).reshape(rows, columns)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return 0.0 if min(table.shape) < 2 else float(association(table, method="cramer"))
