"""What the losses share: counts and weights of the classes, hard and soft targets, and the weighted mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.losses.class_weights import checked_counts, effective_number_weights


class ClassLoss(nn.Module, ABC):
    """Base of losses on logits (B, C) that know the training images of each class.

    Targets are class numbers, int64 (B,), or probabilities, float (B, C), as mixup and label smoothing give them; a
    loss at soft targets is the expectation of the loss over the class, so one-hot targets equal class numbers.
    Half-precision logits are taken to float32 first, so the losses are safe under autocast.

    Args:
        class_counts: training images of each class, all above 0.
        beta: of `effective_number_weights`; 0 weighs all classes alike.
        weight: class weights (C,) to use instead of those from `beta`.
        class_names: names for the errors.

    Attributes:
        weight: float32 (C,), the class weights in use; `DeferredReweighting` replaces them during training.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `beta` or the shape of `weight` is wrong.
    """

    weight: torch.Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        beta: float = 0.0,
        weight: Sequence[float] | torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        counts = checked_counts(class_counts, class_names)
        weights = effective_number_weights(class_counts, beta) if weight is None else torch.as_tensor(weight).float()
        if weights.shape != counts.shape:
            raise FetalMonaiError(f"weight has shape {tuple(weights.shape)}; there are {len(counts)} classes")
        self.num_classes = len(counts)
        self.register_buffer("weight", weights, persistent=False)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch, a scalar of at least float32.

        Args:
            logits: float (B, C).
            target: int64 (B,), or float (B, C) with rows that sum to 1.

        Raises:
            ValueError: if the shapes do not fit.
        """
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise ValueError(f"logits have shape {tuple(logits.shape)}; expected (batch, {self.num_classes})")
        if target.shape != (logits.shape if target.is_floating_point() else logits.shape[:1]):
            raise ValueError(
                f"target has shape {tuple(target.shape)} and type {target.dtype}; "
                f"expected class numbers ({len(logits)},) or probabilities {tuple(logits.shape)}"
            )
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        if not target.is_floating_point():
            target = nn.functional.one_hot(target, self.num_classes)
        return self.loss(logits, target.to(logits), self.weight.to(logits))

    @abstractmethod
    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss of logits (B, C) at probabilities (B, C) with class weights (C,), all of one type."""


def weighted_mean(losses: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Average losses (B, C), one for each class that might be true, over target probabilities times class weights.

    With class numbers this is the weighted mean of `torch.nn.functional.cross_entropy`: it divides by the weights' sum.
    """
    weighted = target * weight
    return (weighted * losses).sum() / weighted.sum()
