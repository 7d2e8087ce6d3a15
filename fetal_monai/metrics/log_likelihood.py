"""The key metric of training: how likely the labels are under the best-calibrated probabilities."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

TEMPERATURES = (0.01, 100.0)


def calibrated_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean log-probability of the true class, logits divided by the temperature that makes it largest.

    It uses how sure the network is of every image, where accuracy and F1 count right and wrong: from one epoch to the
    next it moves less by chance. The temperature (Guo et al. 2017) makes it fair to losses that train logits of another
    scale, such as LDAM.

    Args:
        logits: (N, C), floating point.
        labels: (N,) class indices.

    Returns:
        At most 0; -log(C) or more, because an infinite temperature gives that; NaN if a logit is no number.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> round(calibrated_log_likelihood(logits, torch.tensor([0, 1, 1])), 4)  # two of three right: entropy of 2 / 3
        -0.6365
    """
    scores, truth = logits.double().cpu(), labels.long().cpu()

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(scores / math.exp(log_temperature), truth))

    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return -min(float(found.fun), math.log(scores.shape[1])) if math.isfinite(found.fun) else math.nan
