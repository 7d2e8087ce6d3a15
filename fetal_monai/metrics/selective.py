"""What a model gains by leaving the images that it is least sure of to a person.

Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from fetal_monai.metrics.prediction_table import Predictions

LEVELS = 10  # of coverage at which a threshold is tried


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Error rate among the images kept, as more and more are kept.

    Args:
        thresholds: (K,) distinct confidences, falling; images at or above one are kept.
        coverage: (K,) share of images kept, rising to 1.
        risk: (K,) share of wrong predictions among those kept.
        area: mean risk over all coverages (AURC); ties are kept or left together, in random order on average.
        best_area: AURC of the same predictions, ranked perfectly.
    """

    thresholds: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float
    best_area: float


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Risk-coverage curve and the area under it.

    Args:
        confidence: (N,) how sure the model is of each image; only the order matters.
        correct: (N,) whether it is right.

    Returns:
        The curve.

    Raises:
        ValueError: if there is no image.

    Example:
        >>> curve = risk_coverage([0.9, 0.8, 0.6, 0.5], [True, True, False, True])
        >>> curve.coverage.tolist(), curve.risk.round(3).tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.333, 0.25])
    """
    sure, wrong = np.asarray(confidence, dtype=np.float64), ~np.asarray(correct, dtype=bool)
    count = len(sure)
    if count == 0:
        raise ValueError("a risk-coverage curve needs at least one image")
    thresholds, group = np.unique(-sure, return_inverse=True)
    size = np.bincount(group)
    errors = np.bincount(group, wrong)
    kept, missed = size.cumsum(), errors.cumsum()
    # Within a tie the expected number of errors grows linearly from one group's end to the next.
    share = errors / size
    ranks = np.arange(1, count + 1)
    of_rank = np.repeat(np.arange(len(size)), size)
    before = kept - size
    expected = (missed - errors)[of_rank] + share[of_rank] * (ranks - before[of_rank])
    right = int(count - wrong.sum())
    best = np.maximum(ranks - right, 0) / ranks
    return RiskCoverage(-thresholds, kept / count, missed / kept, float((expected / ranks).mean()), float(best.mean()))


@dataclass(frozen=True)
class Abstention:
    """A confidence below which the model should abstain.

    Args:
        risk: the error rate promised among the images kept.
        certainty: probability with which the promise holds, over draws of the validation split.
        threshold: images with at least this confidence are kept; None if no threshold can promise the risk.
        coverage: share of validation images kept.
        bound: upper confidence bound of the risk at the threshold.
        why: why there is no threshold, empty if there is one.
    """

    risk: float
    certainty: float
    threshold: float | None
    coverage: float
    bound: float | None
    why: str = ""


def abstention_threshold(predictions: Predictions, *, risk: float = 0.05, certainty: float = 0.9) -> Abstention:
    """The confidence to ask for, so that the error rate among the images kept stays below a chosen risk.

    Ten thresholds, which keep from all to a tenth of the validation images, are each tested with an exact binomial
    bound at a tenth of the doubt (Angelopoulos et al., "Learn then test", 2021, with Bonferroni's correction). The
    guarantee takes images as independent draws of the same population; many frames per patient weaken it.

    Args:
        predictions: labelled validation images, with the probabilities that will be used (calibrated ones, if so).
        risk: between 0 and 1.
        certainty: between 0 and 1.

    Returns:
        The threshold of the largest coverage that passes, or the reason why there is none.

    Raises:
        InputError: if no label is known.

    Example:
        >>> n = 400
        >>> confidence = np.linspace(0.55, 1, n)
        >>> labels = (np.arange(n) < 40).astype(int)  # the forty least sure are wrong
        >>> scores = np.stack([confidence, 1 - confidence], axis=1)
        >>> table = Predictions("ab", np.arange(n).astype(str), [-1] * n, labels, scores)
        >>> found = abstention_threshold(table, risk=0.05)
        >>> 0.55 < found.threshold < 0.62, found.coverage > 0.85
        (True, True)
    """
    known = predictions.labelled()
    curve = risk_coverage(known.confidence, known.predicted == known.labels)
    doubt = (1 - certainty) / LEVELS
    for level in range(LEVELS, 0, -1):
        step = int(np.searchsorted(curve.coverage, level / LEVELS, side="right")) - 1
        if step < 0:  # ties: so few cannot be kept alone
            break
        kept = round(curve.coverage[step] * len(known))
        bound = float(binomial_upper_bound(round(curve.risk[step] * kept), kept, doubt))
        if bound <= risk:
            return Abstention(risk, certainty, float(curve.thresholds[step]), float(curve.coverage[step]), bound)
    fewest = int(np.ceil(np.log(doubt) / np.log(1 - risk)))
    why = f"{len(known)} validation images cannot prove it: {fewest} without an error would, or more with some"
    return Abstention(risk, certainty, None, 0.0, None, why)


def binomial_upper_bound(errors: ArrayLike, count: ArrayLike, doubt: float) -> NDArray[np.float64]:
    """Exact (Clopper-Pearson) one-sided upper bound of an error rate.

    Args:
        errors: how many of `count` were wrong.
        count: how many there were.
        doubt: probability with which the true rate may exceed the bound.

    Returns:
        The bound, in [0, 1]; 1 where all were wrong.
    """
    wrong, total = np.asarray(errors, dtype=np.float64), np.asarray(count, dtype=np.float64)
    return np.asarray(np.where(wrong >= total, 1.0, beta.ppf(1 - doubt, wrong + 1, np.maximum(total - wrong, 1))))
