"""Every metric of an evaluation for many weightings of the patients at once.

A bootstrap replicate draws patients with replacement, so it is a vector of whole-numbered weights, one per patient.
Every metric here is a function of weighted sums over images; the sums of all replicates are one product of a dense
(replicates x patients) with a sparse (patients x sums) matrix. This is what makes a thousand replicates take seconds.

Macro averages are over one set of classes, whatever the weights: those that occur among all images. Averaged over the
classes that it happens to hold, a replicate would be an average of something else: without a rare class that is always
recognised macro F1 falls, and the replicates lie around another centre than the value. A replicate without an image of
a class says nothing of that class, so there the class counts with its value of all images. Weights that are never zero
(Rubin, "The Bayesian bootstrap", Ann. Stat. 9, 1981) would need no such rule, but in simulations with rare classes the
replicates of macro F1 lay further from the value, and the intervals covered less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fetal_monai.metrics.calibration_error import BINS, bin_of, brier_scores, log_losses
from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON
from fetal_monai.metrics.prediction_table import Predictions

Array = NDArray[np.float64]
PER_CLASS = ("precision", "recall", "f1", "roc_auc", "average_precision")
OVERALL = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    MACRO_F1_OF_COMMON,
    "top2_accuracy",
    "cohen_kappa",
    "macro_roc_auc",
    "macro_average_precision",
    "ece",
    "brier",
    "nll",
)


class WeightedMetrics:
    """All metrics of one table of predictions as functions of the weights of its groups (patients).

    Args:
        predictions: images whose labels are all known.
        groups: (N,) index of each image's group, 0 to G - 1.

    Example:
        >>> table = Predictions(["a", "b"], ["1", "2", "3"], [-1] * 3, [0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
        >>> metrics = WeightedMetrics(table, np.array([0, 1, 1]))
        >>> metrics(np.array([[1.0, 1.0], [2.0, 1.0]]))["accuracy"].round(3).tolist()
        [0.667, 0.75]
    """

    def __init__(self, predictions: Predictions, groups: NDArray[np.int64]) -> None:
        self._classes = predictions.num_classes
        self._groups = groups
        self._num_groups = int(groups.max()) + 1
        size, labels = self._classes, predictions.labels
        count = len(predictions)
        correct = predictions.predicted == labels
        beaten_by = (predictions.probabilities > predictions.probabilities[np.arange(count), labels][:, None]).sum(
            axis=1
        )
        self._confusion = self._sums(labels * size + predictions.predicted, np.ones(count), size * size)
        scores = [beaten_by < 2, brier_scores(predictions), log_losses(predictions)]
        self._scores = csr_array(np.stack([np.bincount(groups, s, self._num_groups) for s in scores], axis=1))
        self._gaps = self._sums(bin_of(predictions.confidence), predictions.confidence - correct, BINS)
        support = np.bincount(labels, minlength=size)
        self._present, self._common = np.flatnonzero(support), np.flatnonzero(support >= ENOUGH_IMAGES)
        self._rankings = [self._ranking(predictions.probabilities[:, k], labels == k) for k in self._present]
        everything = np.ones((1, self._num_groups))
        self._of_all_images = self._of_classes(everything, self._counts(everything))

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Compute every metric for every weighting.

        Args:
            weights: (R, G) non-negative weights, each row with a positive sum.

        Returns:
            (R,) for each of `OVERALL` and (R, C) for each of `PER_CLASS`; NaN where a value is undefined: anything of a
            class without images, precision of a class never predicted. Macro averages are over the classes present
            among all images, with the value of all images where the weights leave a class none.
        """
        counts = self._counts(weights)
        classes = self._of_classes(weights, counts)
        total = counts.sum(axis=(1, 2))
        chance = (counts.sum(axis=2) * counts.sum(axis=1)).sum(axis=1) / total**2
        accuracy = np.trace(counts, axis1=1, axis2=2) / total
        top2, brier, nll = (_product(weights, self._scores) / total[:, None]).T
        return {
            "accuracy": accuracy,
            "balanced_accuracy": self._macro(classes, "recall", self._present),
            "macro_f1": self._macro(classes, "f1", self._present),
            MACRO_F1_OF_COMMON: self._macro(classes, "f1", self._common),
            "top2_accuracy": top2,
            "cohen_kappa": _ratio(accuracy - chance, 1 - chance),
            "macro_roc_auc": self._macro(classes, "roc_auc", self._present),
            "macro_average_precision": self._macro(classes, "average_precision", self._present),
            "ece": np.abs(_product(weights, self._gaps)).sum(axis=1) / total,
            "brier": brier,
            "nll": nll,
            **classes,
        }

    def _counts(self, weights: Array) -> Array:
        """(R, C, C) weighted confusion matrices."""
        return _product(weights, self._confusion).reshape(-1, self._classes, self._classes)

    def _of_classes(self, weights: Array, counts: Array) -> dict[str, Array]:
        """(R, C) of each of `PER_CLASS`."""
        hits, support, calls = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
        auc, precision_area = self._areas(weights)
        return {
            "precision": _ratio(hits, calls),
            "recall": _ratio(hits, support),
            "f1": np.where(support > 0, _ratio(2 * hits, support + calls), np.nan),
            "roc_auc": auc,
            "average_precision": precision_area,
        }

    def _macro(self, classes: dict[str, Array], name: str, of: NDArray[np.int64]) -> Array:
        """(R,) mean over the classes `of`; NaN if there is none, or if one is undefined among all images, too."""
        values, known = classes[name][:, of], self._of_all_images[name][:, of]
        filled = np.where(np.isnan(values), known, values)
        return filled.mean(axis=1) if len(of) else np.full(len(values), np.nan)

    def _sums(self, columns: NDArray[np.int64], values: Array, width: int) -> csr_array:
        shape = (self._num_groups, width)
        return csr_array((values, (self._groups, columns)), shape=shape)  # duplicates add up

    def _ranking(self, scores: Array, positive: NDArray[np.bool_]) -> csr_array:
        """Sums from which area under the ROC curve and average precision follow.

        The distinct scores u_1 > ... > u_m of the positives cut the axis; the 3 m columns are the weight of the
        positives at u_j, of the negatives at u_j, and of the negatives strictly between u_j and u_(j-1).
        """
        cuts = -np.unique(-scores[positive])
        slot = np.searchsorted(-cuts, -scores, side="left")  # index of the first cut at or below the score
        reached = slot < len(cuts)
        at_cut = reached & (cuts[np.minimum(slot, len(cuts) - 1)] == scores)
        column = np.where(positive, slot, np.where(at_cut, slot + len(cuts), slot + 2 * len(cuts)))
        shape = (self._num_groups, 3 * len(cuts))
        return csr_array((np.ones(reached.sum()), (self._groups[reached], column[reached])), shape=shape)

    def _areas(self, weights: Array) -> tuple[Array, Array]:
        shape = (len(weights), self._classes)
        auc, area = np.full(shape, np.nan), np.full(shape, np.nan)
        all_images = weights @ np.bincount(self._groups, minlength=self._num_groups)
        for k, ranking in zip(self._present, self._rankings, strict=True):
            hits, level, between = np.split(_product(weights, ranking), 3, axis=1)
            positives = hits.sum(axis=1)
            negatives = all_images - positives
            false = (between + level).cumsum(axis=1)  # negatives at or above each cut
            outranked = negatives[:, None] - false + level / 2
            auc[:, k] = _ratio((hits * outranked).sum(axis=1), positives * negatives)
            true = hits.cumsum(axis=1)
            precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
            area[:, k] = _ratio((hits * precision).sum(axis=1), positives)
        return auc, area


def _product(weights: Array, sums: csr_array) -> Array:
    # A sparse matrix on the left is the fast side.
    return np.ascontiguousarray((sums.T.tocsr() @ np.ascontiguousarray(weights.T)).T)


def _ratio(above: Array, below: Array) -> Array:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))
