"""Does a stated probability mean what it says? ECE, class-wise ECE, Brier score, negative log-likelihood.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE); Kull et al., "Beyond temperature scaling",
NeurIPS 2019 (class-wise ECE).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_monai.metrics.prediction_table import Predictions

BINS = 15
SMALLEST = 1e-15  # the smallest probability that a logarithm is taken of


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Equal-width bins of stated probability against observed frequency.

    Args:
        edges: (bins + 1,) from 0 to 1; a bin includes its right edge.
        counts: (bins,) images in each bin.
        stated: (bins,) their mean stated probability, NaN in an empty bin.
        observed: (bins,) how often the event came true, NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    stated: NDArray[np.float64]
    observed: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Mean absolute gap between stated and observed, weighted by the bins' counts."""
        used = self.counts > 0
        gaps = np.abs(self.stated - self.observed)[used] * self.counts[used]
        return float(gaps.sum() / self.counts.sum())


def bin_of(probabilities: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Index of the equal-width bin of each probability.

    Args:
        probabilities: any shape, in [0, 1].
        bins: how many bins.

    Returns:
        The same shape, 0 to bins - 1; a bin includes its right edge.
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    return np.asarray(np.searchsorted(inner, probabilities, side="left"), dtype=np.int64)


def reliability_bins(probabilities: ArrayLike, events: ArrayLike, bins: int = BINS) -> ReliabilityBins:
    """Compare stated probabilities with how often the events came true.

    Args:
        probabilities: (N,) stated, in [0, 1].
        events: (N,) whether each came true.
        bins: number of equal-width bins.

    Returns:
        The bins, empty ones included.

    Example:
        >>> reliability_bins([0.9, 0.9, 0.3], [True, False, False], bins=2).observed.tolist()
        [0.0, 0.5]
    """
    stated, came = np.asarray(probabilities, dtype=np.float64), np.asarray(events, dtype=np.float64)
    index = bin_of(stated, bins)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            np.linspace(0, 1, bins + 1),
            counts,
            np.bincount(index, stated, bins) / counts,
            np.bincount(index, came, bins) / counts,
        )


def top_label_bins(predictions: Predictions, bins: int = BINS) -> ReliabilityBins:
    """Reliability of the predicted class: stated confidence against accuracy.

    Args:
        predictions: labelled images.
        bins: number of equal-width bins.

    Returns:
        The bins; their `error` is the expected calibration error (ECE).

    Raises:
        InputError: if no label is known.
    """
    known = predictions.labelled()
    return reliability_bins(known.confidence, known.predicted == known.labels, bins)


def calibration_metrics(predictions: Predictions, bins: int = BINS) -> dict[str, float]:
    """Calibration and proper scores of labelled images.

    Args:
        predictions: images with probabilities.
        bins: number of equal-width bins for the two calibration errors.

    Returns:
        `ece` (of the predicted class), `classwise_ece` (mean over classes, each class against the rest), `brier`
        (squared error summed over classes, 0 to 2) and `nll` (natural logarithm, mean per image).

    Raises:
        InputError: if no label is known.

    Example:
        >>> table = Predictions(["a", "b"], ["1", "2"], [-1, -1], [0, 1], [[0.8, 0.2], [0.8, 0.2]])
        >>> {name: round(value, 3) for name, value in calibration_metrics(table).items()}
        {'ece': 0.3, 'classwise_ece': 0.3, 'brier': 0.68, 'nll': 0.916}
    """
    known = predictions.labelled()
    truth = np.eye(known.num_classes)[known.labels]
    classwise = [reliability_bins(known.probabilities[:, k], truth[:, k], bins).error for k in range(known.num_classes)]
    return {
        "ece": top_label_bins(known, bins).error,
        "classwise_ece": float(np.mean(classwise)),
        "brier": float(brier_scores(known).mean()),
        "nll": float(log_losses(known).mean()),
    }


def brier_scores(predictions: Predictions) -> NDArray[np.float64]:
    """Squared error of each image, summed over classes.

    Args:
        predictions: images whose labels are all known.

    Returns:
        (N,) values from 0 to 2.
    """
    truth = np.eye(predictions.num_classes)[predictions.labels]
    return np.asarray(((predictions.probabilities - truth) ** 2).sum(axis=1), dtype=np.float64)


def log_losses(predictions: Predictions) -> NDArray[np.float64]:
    """Negative natural logarithm of the probability given to each image's true class.

    Args:
        predictions: images whose labels are all known.

    Returns:
        (N,) values of 0 or more; probabilities below 1e-15 count as that.
    """
    picked = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    return -np.log(np.clip(picked, SMALLEST, 1))


def error_if_calibrated(predictions: Predictions, bins: int = BINS, replicates: int = 1000, seed: int = 0) -> float:
    """The calibration error that chance alone would show.

    Even a perfectly calibrated model has an ECE above zero on a finite number of images. This draws outcomes that
    follow the stated probabilities (Broecker and Smith, Weather and Forecasting 22, 2007) and averages their ECE.

    Args:
        predictions: images with probabilities; labels are not looked at.
        bins: number of equal-width bins.
        replicates: how many draws.
        seed: of the random numbers.

    Returns:
        The mean ECE, in [0, 1].
    """
    stated = predictions.confidence
    order = np.argsort(stated, kind="stable")
    starts = np.flatnonzero(np.diff(bin_of(stated[order], bins), prepend=-1))
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(replicates):
        gaps = np.add.reduceat(stated[order] - (rng.random(len(stated)) < stated[order]), starts)
        total += float(np.abs(gaps).sum()) / len(stated)
    return total / replicates
