"""BatchNorm statistics that are the same in all processes when a network is validated."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import distributed


class SameBuffers:
    """Give an evaluator's network the buffers of the first process, whose weights are those that are saved.

    `DistributedDataParallel` does so before each step of a training, after which every process has statistics of its
    own batch. Validation uses the bare network, because processes may have a different number of batches.

    Example:
        >>> evaluator = Engine(lambda engine, batch: None)
        >>> evaluator.network = torch.nn.BatchNorm2d(3)
        >>> SameBuffers().attach(evaluator)  # in one process it changes nothing
        >>> evaluator.run([0]).epoch
        1
    """

    def attach(self, engine: Engine) -> None:
        """Hook into a MONAI `SupervisedEvaluator`."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Send the buffers from the first process to the others."""
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            for buffer in engine.network.buffers():
                with torch.no_grad():
                    distributed.broadcast(buffer, src=0)
