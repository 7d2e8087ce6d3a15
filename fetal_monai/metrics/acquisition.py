"""What active learning ranks images by: uncertainty, disagreement, and distance to what is labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from sklearn.metrics import pairwise_distances_argmin_min


def predictive_entropy(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Entropy of distributions over classes (Settles, 2009, section 3.1: uncertainty sampling).

    Args:
        probabilities: (..., C), summing to one.

    Returns:
        (...) nats: 0 when one class is certain, log(C) when all are equally likely.

    Example:
        >>> predictive_entropy([[1, 0], [0.5, 0.5]]).round(4).tolist()
        [0.0, 0.6931]
    """
    return np.asarray(entr(np.asarray(probabilities, dtype=np.float64)).sum(axis=-1))


def jensen_shannon_divergence(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Jensen-Shannon divergence of pairs of distributions (Lin, 1991), not its square root.

    It is the mutual information of the class and of who was asked: a committee of two that disagrees (Settles, 2009,
    section 3.2), however sure each of them is. Two that are unsure in the same way have none.

    Args:
        first: (..., C), summing to one.
        second: likewise.

    Returns:
        (...) nats: 0 when both are the same, log(2) when they have no class in common.

    Example:
        >>> jensen_shannon_divergence([[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]).round(4).tolist()
        [0.6931, 0.0]
    """
    p, q = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    found = predictive_entropy((p + q) / 2) - (predictive_entropy(p) + predictive_entropy(q)) / 2
    return np.clip(found, 0.0, np.log(2))  # rounding leaves -1e-17 where both are the same


def nearest_distances(features: ArrayLike, centres: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance to the nearest of some centres.

    The image for which it is greatest is the next one of k-centre greedy (Sener and Savarese, "Active Learning for
    Convolutional Neural Networks: A Core-Set Approach", ICLR 2018), with the labelled images as centres.

    Args:
        features: (N, D).
        centres: (M, D), at least one.

    Returns:
        (N,).

    Example:
        >>> nearest_distances([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [3.0, 0.0]]).tolist()
        [0.0, 4.0]
    """
    _, distances = pairwise_distances_argmin_min(np.asarray(features), np.asarray(centres))
    return np.asarray(distances, dtype=np.float64)
