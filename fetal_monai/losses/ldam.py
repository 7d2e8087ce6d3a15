"""LDAM, the loss with a larger margin for rarer classes, alone and summed with the focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fetal_monai.errors import FetalMonaiError
from fetal_monai.losses.base import ClassLoss, weighted_mean
from fetal_monai.losses.class_weights import ldam_margins
from fetal_monai.losses.focal import focal


class LDAMLoss(ClassLoss):
    """Cross-entropy with the margin m_c taken off the true class (Cao et al. 2019, arXiv 1906.07413).

    With z the logits, y the true class, s the scale and m_c proportional to n_c ** -1/4:
    -log(exp(s (z_y - m_y)) / (exp(s (z_y - m_y)) + sum of exp(s z_j) over j != y)), as a mean weighted by class.

    Args:
        class_counts: training images n_c of each class, all above 0.
        max_margin: the margin of the rarest class, 0 or more.
        scale: s, by which the logits are multiplied, above 0.
        beta: of `effective_number_weights`; 0 weighs all classes alike.
        weight: class weights (C,) to use instead of those from `beta`.
        class_names: names for the errors.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `max_margin`, `scale`, `beta` or `weight` is wrong.

    Example:
        >>> loss = LDAMLoss([90, 10], max_margin=0.0, scale=1.0)
        >>> round(loss(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])).item(), 4)
        0.6931
    """

    margins: torch.Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        beta: float = 0.0,
        weight: Sequence[float] | torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(class_counts, beta=beta, weight=weight, class_names=class_names)
        if max_margin < 0 or scale <= 0:
            raise FetalMonaiError(f"max_margin is {max_margin} and scale {scale}; they must be 0 or more, and above 0")
        self.scale = scale
        self.register_buffer("margins", ldam_margins(class_counts, max_margin), persistent=False)

    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the LDAM loss; see the class."""
        # Row c of (B, C, C) holds the logits as they are if c is the true class: only then is its margin taken off.
        shifted = self.scale * (logits.unsqueeze(1) - torch.diag(self.margins.to(logits)))
        losses = -torch.log_softmax(shifted, dim=2).diagonal(dim1=1, dim2=2)
        return weighted_mean(losses, target, weight)


class LDAMFocalLoss(LDAMLoss):
    """The default of arXiv 2506.08623: ldam_factor * LDAM + focal_factor * focal loss, both weighted by class.

    Args:
        class_counts: training images of each class, all above 0.
        max_margin: LDAM's margin of the rarest class, 0 or more.
        scale: LDAM's scale, above 0.
        gamma: the focal exponent, 0 or more.
        ldam_factor: of the LDAM term.
        focal_factor: of the focal term.
        weight_in_exponent: let the class weight into the focal factor, (1 - p ** w) ** gamma as in the reference; False
            gives (1 - p) ** gamma as in the literature.
        beta: of `effective_number_weights`; 0 weighs all classes alike.
        weight: class weights (C,) to use instead of those from `beta`.
        class_names: names for the errors.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if an argument is out of range.

    Example:
        >>> loss = LDAMFocalLoss([90, 10], beta=0.9999)
        >>> round(loss(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])).item(), 4)
        11.8538
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        gamma: float = 1.0,
        ldam_factor: float = 0.8,
        focal_factor: float = 0.8,
        weight_in_exponent: bool = True,
        beta: float = 0.0,
        weight: Sequence[float] | torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            class_counts, max_margin=max_margin, scale=scale, beta=beta, weight=weight, class_names=class_names
        )
        if gamma < 0:
            raise FetalMonaiError(f"gamma is {gamma}; it must not be negative")
        self.gamma = gamma
        self.ldam_factor = ldam_factor
        self.focal_factor = focal_factor
        self.weight_in_exponent = weight_in_exponent

    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the sum of both terms; see the class."""
        margin_term = super().loss(logits, target, weight)
        focal_term = focal(logits, target, weight, self.gamma, weight_in_exponent=self.weight_in_exponent)
        return self.ldam_factor * margin_term + self.focal_factor * focal_term
