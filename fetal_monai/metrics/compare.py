"""Is one model better than another? Two evaluations on the same images, compared pairwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fetal_monai.errors import InputError
from fetal_monai.metrics.bootstrap import (
    LEVEL,
    REPLICATES,
    Interval,
    expanded_interval,
    patient_groups,
    patient_weights,
    replicate_metrics,
)
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.weighted import OVERALL


@dataclass(frozen=True)
class Comparison:
    """What changes from model A to model B on the same images.

    Args:
        a: A's metrics, None where undefined.
        b: B's metrics, likewise.
        difference: B - A with intervals from resampling the same patients in both.
        only_a_right: images that A alone classifies correctly.
        only_b_right: images that B alone classifies correctly.
        mcnemar_p: exact two-sided p-value of McNemar's test. It takes images as independent; several images per patient
            make it too small, so prefer the intervals then.
        images: how many were compared.
        patients: of how many patients, None if unknown (then there are no intervals).
    """

    a: dict[str, float | None]
    b: dict[str, float | None]
    difference: dict[str, Interval]
    only_a_right: int
    only_b_right: int
    mcnemar_p: float
    images: int
    patients: int | None


def compare(
    a: Predictions, b: Predictions, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Comparison:
    """Compare two models on the same labelled images.

    Args:
        a: predictions of the first.
        b: predictions of the second; rows in any order.
        replicates: of the bootstrap.
        level: nominal coverage of the intervals.
        seed: of the resampling.

    Returns:
        The comparison.

    Raises:
        InputError: if the two are about other images, classes, labels or patients.

    Example:
        >>> labels = [0, 1] * 20
        >>> rows = lambda hits: [[0.9, 0.1] if (y == 0) == hit else [0.1, 0.9] for y, hit in zip(labels, hits)]
        >>> names, uids = ["a", "b"], [str(i) for i in range(40)]
        >>> worse = Predictions(names, uids, [-1] * 40, labels, rows([True] * 30 + [False] * 10), patient_ids=uids)
        >>> better = Predictions(names, uids, [-1] * 40, labels, rows([True] * 40), patient_ids=uids)
        >>> result = compare(worse, better)
        >>> result.difference["accuracy"].value, result.only_b_right, round(result.mcnemar_p, 5)
        (0.25, 10, 0.00195)
    """
    first = a.labelled()
    second = _aligned(b.labelled(), first)
    try:
        groups, why = patient_groups(first), ""
    except InputError as error:
        groups, why = np.arange(len(first)), error.problems[0]
    patients = int(groups.max()) + 1
    ones = np.ones((1, patients))
    values = [replicate_metrics(table, groups, ones) for table in (first, second)]
    drawn = None
    if not why:
        weights = patient_weights(patients, replicates, seed)
        drawn = [replicate_metrics(table, groups, weights) for table in (first, second)]
    difference = {}
    for name in OVERALL:
        change = float(values[1][name][0] - values[0][name][0])
        if np.isnan(change):
            difference[name] = Interval(None, why="undefined for one of the two, or for both")
        elif drawn is None or name == "ece":
            difference[name] = Interval(change, why=why or "resampling inflates the calibration error")
        else:
            ends = expanded_interval(drawn[1][name] - drawn[0][name], patients, level)
            difference[name] = Interval(change, *ends)
    right = [table.predicted == table.labels for table in (first, second)]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    before, after = ({name: _defined(table[name][0]) for name in OVERALL} for table in values)
    return Comparison(before, after, difference, only_a, only_b, p_value, len(first), None if why else patients)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _aligned(table: Predictions, like: Predictions) -> Predictions:
    """The rows of `table` in the order of `like`."""
    if table.class_names != like.class_names:
        problem = f"its classes {table.class_names} are not those of {like.source}, {like.class_names}"
        raise InputError(table.source, [f"{problem}; compare models of the same classes"])
    position = {key: row for row, key in enumerate(table.keys)}
    missing = [key for key in like.keys if key not in position]
    extra = set(table.keys) - set(like.keys)
    problems = [f"image {uid}, frame {frame} is in {like.source} but not here" for uid, frame in missing]
    problems += [f"image {uid}, frame {frame} is here but not in {like.source}" for uid, frame in sorted(extra)]
    if problems:
        raise InputError(table.source, [*problems, "evaluate both models on the same labelled images"])
    aligned = table.subset([position[key] for key in like.keys])
    other = np.flatnonzero(aligned.labels != like.labels)
    problems = [f"image {like.sop_instance_uids[i]}, frame {like.frames[i]} has another label" for i in other]
    if (like.patient_ids is None) != (aligned.patient_ids is None) or (
        like.patient_ids is not None and bool((like.patient_ids != aligned.patient_ids).any())
    ):
        problems.append(f"patients differ from {like.source}; evaluate both with the same annotations")
    if problems:
        raise InputError(table.source, problems)
    return aligned
