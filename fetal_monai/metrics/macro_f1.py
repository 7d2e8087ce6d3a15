"""Macro F1 over the classes that occur, while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.metrics import ConfusionMatrix


class MacroF1(ConfusionMatrix):
    """Unweighted mean of the F1 scores of the classes present in the labels.

    A macro average over all classes would be pulled to 0 (or NaN) by a class that the split happens to lack; this one
    equals scikit-learn's `f1_score(..., average="macro", labels=<classes present>)`. Counts are summed over processes.

    Args:
        num_classes: length of the class list.
        output_transform: from the engine's output to (scores, labels); with MONAI `from_engine(["pred", "label"])`.
            Scores are logits or probabilities, (B, C) or a list of (C,); labels (B,) or a list of integers.
        device: where counts are kept.

    Raises:
        NotComputableError: when computed before any image was seen.

    Example:
        >>> metric = MacroF1(num_classes=3)
        >>> metric.update((torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 3, 0]]), torch.tensor([0, 1, 1])))
        >>> round(metric.compute(), 4)
        0.6667
    """

    def __init__(
        self,
        num_classes: int,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(num_classes, output_transform=output_transform, device=device)

    def update(self, output: Sequence[Any]) -> None:
        """Count a batch.

        Args:
            output: (scores, labels) as described above; labels outside the class list are not counted.
        """
        scores, labels = output
        if not isinstance(scores, torch.Tensor):  # decollated by MONAI: one score vector and one integer per image
            scores = torch.stack([torch.as_tensor(score) for score in scores])
        super().update((scores, torch.as_tensor(labels, device=scores.device).long().reshape(len(scores))))

    def compute(self) -> float:
        """Macro F1 of what was counted.

        Returns:
            A value in [0, 1]; NaN when no counted label is in the class list.
        """
        counts = super().compute().double()
        support, predicted, hits = counts.sum(dim=1), counts.sum(dim=0), counts.diag()
        present = support > 0
        return float((2 * hits[present] / (support + predicted)[present]).mean())
