"""Sets of classes that contain the true one with a chosen probability, class by class.

Split conformal prediction with the score 1 - p(class): Vovk, "Conditional validity of inductive conformal predictors",
2012 (one threshold per class); Ding et al., "Class-conditional conformal prediction with many classes", NeurIPS 2023
(classes with too few images share a threshold). The most probable class is added where its threshold leaves it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.errors import InputError
from fetal_monai.metrics.prediction_table import Predictions

OWN, RARE, ALL = "own", "rare classes together", "all classes together"


@dataclass(frozen=True)
class ConformalSets:
    """Thresholds fitted on validation images.

    Args:
        coverage: the probability promised, averaged over draws of validation and test images of one population.
        class_names: the C classes.
        thresholds: C highest scores 1 - p that still enter the set; infinite where even all images are too few.
        calibrated_on: C of "own" (the promise holds for this class), "rare classes together" or "all classes together"
            (the promise holds on average over those classes, not for this one).
        images: C numbers of validation images.
    """

    coverage: float
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    calibrated_on: tuple[str, ...]
    images: tuple[int, ...]

    def members(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which classes are in each image's set: those whose threshold admits them, and always the most probable one.

        Each class has a threshold of its own, so that they alone may admit a less probable class and not the most
        probable one, or none at all. A set must not contradict the label beside it, and one class more can only raise
        the coverage.

        Args:
            probabilities: (N, C), scaled the same way as those fitted on.

        Returns:
            (N, C) booleans, one or more in each row.

        Example:
            >>> sets = ConformalSets(0.9, ("a", "b"), (0.2, 0.75), ("own", "own"), (9, 9))
            >>> sets.members(np.array([[0.7, 0.3], [0.9, 0.1]])).tolist()
            [[True, True], [True, False]]
        """
        inside = np.asarray(1 - probabilities <= np.array(self.thresholds))
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        return inside


def fewest_images(coverage: float) -> int:
    """How many images a finite threshold needs.

    Args:
        coverage: between 0 and 1.

    Returns:
        The smallest n with ceil((n + 1) * coverage) <= n.

    Example:
        >>> fewest_images(0.9), fewest_images(0.95)
        (9, 19)
    """
    return math.ceil(round(coverage / (1 - coverage), 9))


def fit_conformal_sets(predictions: Predictions, *, coverage: float = 0.9) -> ConformalSets:
    """Fit class-conditional thresholds.

    Args:
        predictions: labelled validation images, with the probabilities that will be used.
        coverage: between 0 and 1.

    Returns:
        The thresholds. A class with fewer than `fewest_images` shares one with the other such classes, and these with
        all classes if they are too few together; `calibrated_on` says so.

    Raises:
        InputError: if no label is known, or the coverage is not between 0 and 1.

    Example:
        >>> table = Predictions("ab", np.arange(20).astype(str), [-1] * 20, [0] * 10 + [1] * 10,
        ...     np.stack([np.linspace(0.9, 0.1, 20), np.linspace(0.1, 0.9, 20)], 1))
        >>> sets = fit_conformal_sets(table, coverage=0.8)
        >>> sets.calibrated_on, [round(t, 3) for t in sets.thresholds]
        (('own', 'own'), [0.437, 0.437])
    """
    if not 0 < coverage < 1:
        raise InputError("conformal sets", [f"coverage {coverage} is not between 0 and 1; choose for instance 0.9"])
    known = predictions.labelled()
    scores = 1 - known.probabilities[np.arange(len(known)), known.labels]
    counts = np.bincount(known.labels, minlength=known.num_classes)
    rare = counts < fewest_images(coverage)
    together = scores[rare[known.labels]]
    pool, pool_name = (together, RARE) if len(together) >= fewest_images(coverage) else (scores, ALL)
    thresholds = [
        _threshold(pool if rare[k] else scores[known.labels == k], coverage) for k in range(known.num_classes)
    ]
    names = tuple(pool_name if rare[k] else OWN for k in range(known.num_classes))
    return ConformalSets(coverage, known.class_names, tuple(thresholds), names, tuple(counts.tolist()))


def conformal_metrics(sets: ConformalSets, predictions: Predictions) -> dict[str, Any]:
    """Empirical coverage and size of the sets on other images.

    Args:
        sets: fitted on validation images.
        predictions: labelled test images.

    Returns:
        JSON-ready: coverage promised and observed, mean size, share of sets of one, and for each class its coverage and
        mean size (None without images), its images, and what its threshold was fitted on.

    Raises:
        InputError: if no label is known or the classes differ.
    """
    if predictions.class_names != sets.class_names:
        raise InputError(predictions.source, ["its classes are not those that the sets were fitted for; fit again"])
    known = predictions.labelled()
    members = sets.members(known.probabilities)
    covered, size = members[np.arange(len(known)), known.labels], members.sum(axis=1)
    per_class = {}
    for k, name in enumerate(known.class_names):
        rows = known.labels == k
        per_class[name] = {
            "coverage": float(covered[rows].mean()) if rows.any() else None,
            "mean_size": float(size[rows].mean()) if rows.any() else None,
            "images": int(rows.sum()),
            "validation_images": sets.images[k],
            "calibrated_on": sets.calibrated_on[k],
        }
    return {
        "promised_coverage": sets.coverage,
        "coverage": float(covered.mean()),
        "mean_size": float(size.mean()),
        "single": float((size == 1).mean()),
        "shared_thresholds": [n for n, on in zip(sets.class_names, sets.calibrated_on, strict=True) if on != OWN],
        "per_class": per_class,
    }


def _threshold(scores: NDArray[np.float64], coverage: float) -> float:
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])
