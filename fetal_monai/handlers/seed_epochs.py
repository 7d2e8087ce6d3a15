"""Randomness that depends on the seed, the epoch and the process alone."""

from __future__ import annotations

import random
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Randomizable

SEED_SPAN = 2**32


class SeedEpochs:
    """Seed Python, numpy, torch and the data set's random transforms at the start of each epoch.

    A resumed training then draws what an uninterrupted one would have drawn: the n-th epoch is the same whether or
    not the ones before it ran in this process. Of several processes each draws for itself, the first as it
    would alone.

    Args:
        seed: of the training.
        dataset: a data set whose `transform` may hold random transforms; worker processes are seeded by
            MONAI's `DataLoader` from torch's state.

    Example:
        >>> trainer = Engine(lambda engine, batch: torch.rand(1).item())
        >>> SeedEpochs(42).attach(trainer)
        >>> first = trainer.run([0], max_epochs=1).output
        >>> first == trainer.run([0], max_epochs=1).output
        True
    """

    def __init__(self, seed: int, dataset: Any = None) -> None:
        self.seed = seed
        self.transform = getattr(dataset, "transform", None)

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer; it must run before the data loader is iterated."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed everything for the epoch that starts."""
        # Consecutive integers make poor seeds for some generators; SeedSequence mixes them. A last 0 changes nothing.
        entropy = [self.seed, engine.state.epoch, idist.get_rank()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0]) % SEED_SPAN
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global state must be covered
        torch.manual_seed(seed)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed)
