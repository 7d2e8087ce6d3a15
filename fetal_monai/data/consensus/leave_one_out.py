"""Probabilities of an image's classes from what the experts did with all other images.

Dawid and Skene's own probabilities are of the images that the confusion was estimated on: with few images of a class
they are near 0 and 1 whatever is true. Leaving the image itself out keeps them honest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRIOR_RIGHT = 4.0  # images of each class that an expert counts as having called right before the first,
PRIOR_WRONG = 1.0  # and wrong, in all other classes together


def leave_one_out(
    posterior: NDArray[np.float64], images: NDArray[np.int64], experts: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Estimate the probabilities of each image anew, from those of the others.

    Args:
        posterior: (N, C), the probabilities of a fit to all images; rows sum to 1.
        images: (V,), the image of each vote.
        experts: (V,), who cast it, numbered from 0.
        labels: (V,), for which class.

    Returns:
        (N, C), rows sum to 1.

    Example:
        >>> sure = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> leave_one_out(sure, np.array([0, 1]), np.array([0, 0]), np.array([0, 1])).round(2)
        array([[0.71, 0.29],
               [0.29, 0.71]])
    """
    classes = posterior.shape[1]
    counts = np.full((experts.max() + 1, classes, classes), PRIOR_WRONG / max(classes - 1, 1))
    counts[:, np.arange(classes), np.arange(classes)] = PRIOR_RIGHT
    np.add.at(counts.transpose(0, 2, 1), (experts, labels), posterior[images])  # (expert, true, given)
    own = posterior[images]
    rates = (counts[experts, :, labels] - own) / (counts.sum(axis=2)[experts] - own)
    logarithms = np.log(posterior.sum(axis=0) + 1 - posterior)
    np.add.at(logarithms, images, np.log(rates))
    found = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))
