"""All that an evaluation finds out, computed once for files, table and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fetal_monai.errors import InputError
from fetal_monai.metrics.bootstrap import REPLICATES, Intervals, bootstrap_intervals
from fetal_monai.metrics.calibration_error import calibration_metrics, error_if_calibrated
from fetal_monai.metrics.classification import classification_metrics
from fetal_monai.metrics.conformal import ConformalSets, conformal_metrics, fit_conformal_sets
from fetal_monai.metrics.prediction_checks import UNKNOWN_LABEL
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.selective import Abstention, abstention_threshold, risk_coverage
from fetal_monai.model.calibration import Calibration, Method, fit_calibration

RECALLS_OF_INTEREST = (0.75, 0.85)  # arXiv 2506.08623 sums itself up as the share of classes above these


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one labelled split.

    Args:
        predictions: labelled images with the probabilities that count: calibrated ones, given a validation split.
        raw: the same images with the network's own probabilities.
        calibration: fitted on the validation split; None without one.
        intervals: every metric with its interval.
        abstention: the threshold found on the validation split, None without one.
        conformal: the sets fitted on the validation split, None without one.
        metrics: all of it, ready for metrics.json.
    """

    predictions: Predictions
    raw: Predictions
    calibration: Calibration | None
    intervals: Intervals
    abstention: Abstention | None
    conformal: ConformalSets | None
    metrics: dict[str, Any]


def evaluate(
    predictions: Predictions,
    validation: Predictions | None = None,
    *,
    calibration: Calibration | Method | Literal["auto"] = "auto",
    risk: float = 0.05,
    coverage: float = 0.9,
    replicates: int = REPLICATES,
) -> Evaluation:
    """Measure a model on a split, with everything that needs fitting fitted on the validation split.

    Args:
        predictions: uncalibrated probabilities of the images of the split.
        validation: uncalibrated probabilities of the validation split; without it, nothing is calibrated, and there are
            neither thresholds nor sets.
        calibration: the method to fit on `validation`: "temperature" keeps every decision, "vector" may change some,
            "auto" takes what cross-validation on `validation` prefers; or a calibration that is there already.
        risk: error rate that the abstention threshold promises, between 0 and 1.
        coverage: probability that the conformal sets promise, between 0 and 1.
        replicates: of the bootstrap.

    Returns:
        The evaluation.

    Raises:
        InputError: no label is known, validation and split share images or patients, or their classes differ.

    Example:
        >>> names, n = ["a", "b"], 60
        >>> scores = np.linspace(0.55, 0.95, n)
        >>> table = Predictions(names, np.arange(n).astype(str), [-1] * n, (np.arange(n) < 12).astype(int),
        ...     np.stack([scores, 1 - scores], 1), patient_ids=np.arange(n).astype(str))
        >>> found = evaluate(table, replicates=100)
        >>> found.metrics["accuracy"], found.metrics["calibration"]["fitted"]
        (0.8, None)
    """
    raw = predictions.labelled()
    fitted = calibration if isinstance(calibration, Calibration) else None
    if validation is not None:
        validation = validation.labelled()
        _check_apart(raw, validation)
        fitted = calibration if isinstance(calibration, Calibration) else fit_calibration(validation, calibration)
    final = fitted.apply(raw) if fitted else raw
    intervals = bootstrap_intervals(final, replicates=replicates)
    abstention = conformal = None
    if validation is not None and fitted is not None:
        calibrated = fitted.apply(validation)
        abstention = abstention_threshold(calibrated, risk=risk)
        conformal = fit_conformal_sets(calibrated, coverage=coverage)
    metrics = classification_metrics(final)
    metrics["images_without_label"] = int((predictions.labels == UNKNOWN_LABEL).sum())
    _add_intervals(metrics, intervals)
    metrics["share_of_classes_with_recall_above"] = _share_above(metrics["per_class"])
    metrics["calibration"] = _calibration_part(raw, final, fitted)
    metrics["selective_prediction"] = _selective_part(final, abstention)
    metrics["conformal_sets"] = None if conformal is None else conformal_metrics(conformal, final)
    return Evaluation(final, raw, fitted, intervals, abstention, conformal, metrics)


def _check_apart(test: Predictions, validation: Predictions) -> None:
    """Raise `InputError` where fitting on the validation split would leak into the test split."""
    problems = [
        f"image {uid}, frame {frame} is in the validation split too; evaluate on another split"
        for uid, frame in sorted(set(test.keys) & set(validation.keys))
    ]
    if not problems and test.patient_ids is not None and validation.patient_ids is not None:
        shared = sorted(set(test.patient_ids.tolist()) & set(validation.patient_ids.tolist()))
        problems = [f"{len(shared)} patients are in the validation split too; split by patient"] if shared else []
    if test.class_names != validation.class_names:
        problems.append(f"the validation split has other classes, {validation.class_names}")
    if problems:
        raise InputError(test.source, problems)


def _add_intervals(metrics: dict[str, Any], intervals: Intervals) -> None:
    metrics |= {name: interval.value for name, interval in intervals.overall.items() if name not in metrics}
    metrics["intervals"] = {
        "level": intervals.level,
        "method": f"expanded percentile bootstrap of patients, {intervals.replicates} replicates",
        "patients": intervals.patients,
        **{name: _interval(interval) for name, interval in intervals.overall.items()},
    }
    for name, classes in intervals.per_class.items():
        for class_name, interval in classes.items():
            row = metrics["per_class"][class_name]
            row.setdefault(name, interval.value)
            row.setdefault("intervals", {})[name] = _interval(interval)
    metrics["undefined"] += [
        f"ROC AUC and average precision of {name}: no image has this label" for name in metrics["classes_absent"]
    ]


def _interval(interval: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(interval).items() if value != ""}


def _share_above(per_class: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    recalls = np.array([row["recall"] for row in per_class.values() if row["recall"] is not None])
    return {f"{bound}": float((recalls > bound).mean()) for bound in RECALLS_OF_INTEREST}


def _calibration_part(raw: Predictions, final: Predictions, calibration: Calibration | None) -> dict[str, Any]:
    fitted: dict[str, Any] | None = None
    if calibration is not None:
        fitted = {"method": calibration.method, "temperature": calibration.temperature, "images": calibration.images}
        if calibration.note:
            fitted["note"] = calibration.note
    return {
        "before": calibration_metrics(raw),
        "after": calibration_metrics(final) if calibration else None,
        "ece_by_chance": error_if_calibrated(final),
        "fitted": fitted,
    }


def _selective_part(final: Predictions, abstention: Abstention | None) -> dict[str, Any]:
    correct = final.predicted == final.labels
    curve = risk_coverage(final.confidence, correct)
    part: dict[str, Any] = {"aurc": curve.area, "best_possible_aurc": curve.best_area, "abstention": None}
    if abstention is not None:
        part["abstention"] = asdict(abstention)
        if abstention.threshold is not None:
            kept = final.confidence >= abstention.threshold
            part["abstention"]["test_coverage"] = float(kept.mean())
            part["abstention"]["test_risk"] = float((~correct[kept]).mean()) if kept.any() else None
    return part
