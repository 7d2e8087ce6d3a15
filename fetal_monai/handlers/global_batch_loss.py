"""The loss of a batch that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor
from torch import distributed

Output = torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]


class GlobalBatchLoss:
    """Let a trainer's loss see the predictions and labels of all processes, as if one had run the whole batch.

    `DistributedDataParallel` averages the gradients of the processes. That is the gradient of the whole batch only
    where the loss is a plain mean: one that is weighted by class divides by the weights in the batch. Logits are small,
    so every process computes the loss of all of them, and learns from its own. Wherever it is attached, it wraps the
    loss when the trainer starts.

    Example:
        >>> trainer = Engine(lambda engine, batch: None)
        >>> trainer.loss_function = torch.nn.CrossEntropyLoss()
        >>> GlobalBatchLoss().attach(trainer)  # in one process it changes nothing
        >>> _ = trainer.run([0])
        >>> trainer.loss_function
        CrossEntropyLoss()
    """

    def attach(self, engine: Engine) -> None:
        """Hook into a MONAI `SupervisedTrainer`."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Wrap the trainer's loss, once."""
        several = distributed.is_initialized() and distributed.get_world_size() > 1
        if several and not isinstance(engine.loss_function, _Global):
            engine.loss_function = _Global(engine.loss_function)


class _Global:
    def __init__(self, loss: Callable[[Output, Output], torch.Tensor]) -> None:
        self.loss = loss

    def __call__(self, prediction: Output, label: Output) -> torch.Tensor:
        loss = self.loss(_gather(prediction), _gather(label))
        # The value is that of the batch; the gradient is multiplied, because the average over processes divides it.
        return loss + (distributed.get_world_size() - 1) * (loss - loss.detach())


def _gather(values: Output) -> Output:
    """All processes' values, one after the other; those of this one keep their gradient."""
    if not isinstance(values, torch.Tensor):
        return [_gather_one(value) for value in values]
    return _gather_one(values)


def _gather_one(values: torch.Tensor) -> torch.Tensor:
    values = convert_to_tensor(values, track_meta=False)
    parts = [
        torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(distributed.get_world_size())
    ]
    distributed.all_gather(parts, values.detach().contiguous())
    parts[distributed.get_rank()] = values
    return torch.cat(parts)
