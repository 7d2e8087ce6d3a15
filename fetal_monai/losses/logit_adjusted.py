"""Logit adjustment, and balanced softmax as its special case."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fetal_monai.losses.base import ClassLoss, weighted_mean
from fetal_monai.losses.class_weights import checked_counts


class LogitAdjustedLoss(ClassLoss):
    """Cross-entropy of z_c + tau * log(prior_c) (Menon et al. 2021, arXiv 2007.07314).

    The network learns logits for balanced classes, used as they are at test time. tau = 1 is the balanced
    softmax (Ren et al. 2020, arXiv 2007.10740), tau = 0 the plain cross-entropy.

    Args:
        class_counts: training images of each class, all above 0; the prior is their share.
        tau: strength of the adjustment.
        beta: of `effective_number_weights`; 0 weighs all classes alike.
        weight: class weights (C,) to use instead of those from `beta`.
        class_names: names for the errors.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `beta` or `weight` is wrong.

    Example:
        >>> loss = LogitAdjustedLoss([90, 10])
        >>> torch.exp(-loss(torch.zeros(1, 2), torch.tensor([1])))
        tensor(0.1000)
    """

    log_prior: torch.Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        tau: float = 1.0,
        beta: float = 0.0,
        weight: Sequence[float] | torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(class_counts, beta=beta, weight=weight, class_names=class_names)
        self.tau = tau
        counts = checked_counts(class_counts)
        self.register_buffer("log_prior", (counts / counts.sum()).log().float(), persistent=False)

    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the logit-adjusted cross-entropy; see the class."""
        adjusted = logits + self.tau * self.log_prior.to(logits)
        return weighted_mean(-torch.log_softmax(adjusted, dim=1), target, weight)
