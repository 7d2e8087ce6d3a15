"""Deferred re-weighting: learn from all classes alike first, then weigh the rare ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.losses import effective_number_weights


class DeferredReweighting:
    """Switch a loss from equal class weights to effective-number weights at an epoch (Cao et al. 2019, "DRW").

    The weights follow from the epoch alone, so a resumed training has the right ones.

    Args:
        loss: a loss with the attribute `weight`, of shape (C,) or None: those of `fetal_monai.losses`, and
            `torch.nn.CrossEntropyLoss`.
        class_counts: training images of each class, all above 0.
        epoch: how many epochs to train with equal weights.
        beta: of `effective_number_weights`, in [0, 1).
        class_names: names for the errors.

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if the loss has no class weights.

    Example:
        >>> loss = nn.CrossEntropyLoss()
        >>> trainer = Engine(lambda engine, batch: [round(w, 2) for w in loss.weight.tolist()])
        >>> DeferredReweighting(loss, [90, 10], epoch=1, beta=0.9).attach(trainer)
        >>> trainer.run([0], max_epochs=1).output, trainer.run([0], max_epochs=2).output
        ([1.0, 1.0], [0.79, 1.21])
    """

    def __init__(
        self,
        loss: nn.Module,
        class_counts: Sequence[int],
        *,
        epoch: int = 80,
        beta: float = 0.9999,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if not hasattr(loss, "weight"):
            raise FetalMonaiError(f"{type(loss).__name__} has no attribute weight, so its classes cannot be weighed")
        self.loss = loss
        self.epoch = epoch
        self.weights = effective_number_weights(class_counts, beta, class_names=class_names)

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the weights of the epoch that starts; the first is epoch 1."""
        device = getattr(engine.state, "device", None)  # MONAI's trainers know theirs
        weights = self.weights if engine.state.epoch > self.epoch else torch.ones_like(self.weights)
        self.loss.weight = weights.to(device)
