"""95 % intervals by resampling patients: frames of one fetus are not independent of each other.

Cluster bootstrap with expanded percentile intervals: the plain ones are too narrow with few patients (Hesterberg, "What
teachers should know about the bootstrap", The American Statistician 69, 2015, section 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from fetal_monai.errors import InputError
from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.weighted import OVERALL, PER_CLASS, WeightedMetrics

REPLICATES = 1000
LEVEL = 0.95
CHUNK = 128  # replicates at a time, which bounds the memory
ECE_IS_BIASED = "resampling inflates the calibration error, so its interval would be wrong"
NO_COMMON_CLASS = f"undefined: no class has {ENOUGH_IMAGES} images"
FEWEST_PATIENTS = 2
FEWEST_PATIENTS_OF_CLASS = 5  # fewer give percentile intervals far too narrow


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    Args:
        value: computed from all images; None where undefined.
        low: lower end; None where there is no interval.
        high: upper end.
        why: why a number is missing, empty if none is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Intervals:
    """Intervals of every metric.

    Args:
        overall: by name, see `weighted.OVERALL`.
        per_class: by name, then by class name, see `weighted.PER_CLASS`.
        patients: how many were resampled, None if unknown.
        replicates: how often.
        level: nominal coverage.
    """

    overall: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]]
    patients: int | None
    replicates: int
    level: float


def patient_groups(predictions: Predictions) -> NDArray[np.int64]:
    """Number the patients.

    Args:
        predictions: images with known patients.

    Returns:
        (N,) index of each image's patient, 0 to P - 1.

    Raises:
        InputError: if patients are unknown, or there is only one: then nothing says how results vary between patients.
    """
    if predictions.patient_ids is None:
        raise InputError(
            predictions.source, ["patients are unknown, so nothing can be resampled; add a patient_id column"]
        )
    names, groups = np.unique(predictions.patient_ids, return_inverse=True)
    if len(names) < FEWEST_PATIENTS:
        raise InputError(predictions.source, ["all images are of one patient; intervals need two patients or more"])
    return np.asarray(groups, dtype=np.int64)


def patient_weights(patients: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """How often each patient is drawn in each replicate.

    Args:
        patients: P, how many there are and how many are drawn each time.
        replicates: R.
        seed: of the random numbers.

    Returns:
        (R, P) whole numbers, each row summing to P.
    """
    draws = np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=replicates)
    return np.asarray(draws, dtype=np.float64)


def replicate_metrics(
    predictions: Predictions, groups: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Every metric of every replicate.

    Args:
        predictions: images whose labels are all known.
        groups: (N,) index of each image's patient.
        weights: (R, P) how often each patient counts.

    Returns:
        (R,) for each overall metric, (R, C) for each per-class one; NaN where undefined.
    """
    metrics = WeightedMetrics(predictions, groups)
    parts = [metrics(weights[start : start + CHUNK]) for start in range(0, len(weights), CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def bootstrap_intervals(
    predictions: Predictions, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Intervals:
    """Every metric with an interval from resampling patients.

    Args:
        predictions: images with probabilities; those with an unknown label are left out.
        replicates: how many resamplings; 0 for values without intervals.
        level: nominal coverage, between 0 and 1.
        seed: the same seed gives the same intervals.

    Returns:
        The intervals. Where there can be none (patients unknown, one patient only, a class shown by fewer than five
        patients) the value stands alone and `why` says so.

    Raises:
        InputError: if no label is known.

    Example:
        >>> labels = np.arange(200) % 2
        >>> scores = np.where(np.arange(200) % 10 == 0, 0.2, 0.8)
        >>> table = Predictions(["a", "b"], np.arange(200).astype(str), [-1] * 200, labels,
        ...     np.stack([np.where(labels == 0, scores, 1 - scores), np.where(labels == 0, 1 - scores, scores)], 1),
        ...     patient_ids=(np.arange(200) // 2).astype(str))
        >>> accuracy = bootstrap_intervals(table).overall["accuracy"]
        >>> accuracy.value, 0.83 < accuracy.low < 0.88, 0.92 < accuracy.high < 0.97
        (0.9, True, True)
    """
    known = predictions.labelled()
    try:
        groups, reason = patient_groups(known), ""
    except InputError as error:
        groups, reason = np.arange(len(known)), error.problems[0]
    patients = int(groups.max()) + 1
    values = {name: v[0] for name, v in replicate_metrics(known, groups, np.ones((1, patients))).items()}
    drawn = None
    if replicates and not reason:
        drawn = replicate_metrics(known, groups, patient_weights(patients, replicates, seed))
    showing = np.array([len(np.unique(groups[known.labels == k])) for k in range(known.num_classes)])
    withheld = {"ece": ECE_IS_BIASED}
    if np.isnan(values[MACRO_F1_OF_COMMON]):
        withheld[MACRO_F1_OF_COMMON] = NO_COMMON_CLASS
    overall = {
        name: _interval(
            values[name], None if drawn is None else drawn[name], patients, level, withheld.get(name, reason)
        )
        for name in OVERALL
    }
    per_class: dict[str, dict[str, Interval]] = {}
    for name in PER_CLASS:
        per_class[name] = {}
        for k, class_name in enumerate(known.class_names):
            few = (
                "no image has this label"
                if showing[k] == 0
                else f"fewer than {FEWEST_PATIENTS_OF_CLASS} patients show this class"
            )
            why = reason or (few if showing[k] < FEWEST_PATIENTS_OF_CLASS else "")
            samples = None if drawn is None else drawn[name][:, k]
            per_class[name][class_name] = _interval(values[name][k], samples, int(showing[k]), level, why)
    return Intervals(overall, per_class, None if reason else patients, replicates, level)


def expanded_interval(samples: NDArray[np.float64], patients: int, level: float) -> tuple[float, float]:
    """Percentile interval, widened for few patients as Student's t widens a normal interval.

    Args:
        samples: (R,) a metric of each replicate; NaN where it was undefined.
        patients: how many the metric depends on, two or more.
        level: nominal coverage.

    Returns:
        Lower and upper end.
    """
    tail = norm.cdf(np.sqrt(patients / (patients - 1)) * t.ppf((1 - level) / 2, patients - 1))
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def _interval(value: float, samples: NDArray[np.float64] | None, patients: int, level: float, why: str) -> Interval:
    if np.isnan(value):
        return Interval(
            None, why=why or "undefined: the class is never predicted, or there is nothing to compare it with"
        )
    if why or samples is None:
        return Interval(float(value), why=why)
    low, high = expanded_interval(samples, patients, level)
    if low == high:  # for instance a recall of 1: resampling cannot imagine the error that was not seen
        return Interval(float(value), why=f"all replicates agree: {patients} patients are too few to see any variation")
    return Interval(float(value), low, high)
