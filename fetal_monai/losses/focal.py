"""The focal loss, with the class weight inside or outside the modulating factor."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fetal_monai.errors import FetalMonaiError
from fetal_monai.losses.base import ClassLoss


def focal(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, gamma: float, *, weight_in_exponent: bool
) -> torch.Tensor:
    """Compute the loss of `FocalLoss` for logits and target probabilities (B, C) and class weights (C,)."""
    cross_entropy = -torch.log_softmax(logits, dim=1)
    weighted = weight * cross_entropy
    exponent = weighted if weight_in_exponent else cross_entropy
    # Above zero, because a power below 1 has no gradient there.
    doubt = (-torch.expm1(-exponent)).clamp_min(torch.finfo(logits.dtype).tiny)
    return (target * doubt**gamma * weighted).sum(dim=1).mean()


class FocalLoss(ClassLoss):
    """Cross-entropy that counts easy images less (Lin et al. 2017, arXiv 1708.02002).

    With p the probability of the true class and w its weight, averaged over the batch:
    -(1 - p) ** gamma * w * log p, as in the literature, or, with `weight_in_exponent`,
    -(1 - p ** w) ** gamma * w * log p, as in the reference implementation. The two agree where w = 1.

    Args:
        class_counts: training images of each class, all above 0.
        gamma: the focusing exponent, 0 or more; 0 gives the weighted cross-entropy (divided by the batch size).
        weight_in_exponent: let the class weight into the modulating factor.
        beta: of `effective_number_weights`; 0 weighs all classes alike.
        weight: class weights (C,) to use instead of those from `beta`.
        class_names: names for the errors.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `gamma` is negative, or `beta` or `weight` is wrong.

    Example:
        >>> loss = FocalLoss([90, 10], gamma=2.0, beta=0.999)
        >>> round(loss(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])).item(), 4)
        0.1733
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        gamma: float = 1.0,
        weight_in_exponent: bool = False,
        beta: float = 0.0,
        weight: Sequence[float] | torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(class_counts, beta=beta, weight=weight, class_names=class_names)
        if gamma < 0:
            raise FetalMonaiError(f"gamma is {gamma}; it must not be negative")
        self.gamma = gamma
        self.weight_in_exponent = weight_in_exponent

    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the focal loss; see the class."""
        return focal(logits, target, weight, self.gamma, weight_in_exponent=self.weight_in_exponent)
