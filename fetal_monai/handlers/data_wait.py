"""A word to whoever trains when the device stands still because the next batch is not there yet."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

logger = logging.getLogger(__name__)


class DataWait:
    """Log once, after an epoch that waited long for its data, how long that was and what to change.

    The first batch of an epoch does not count, because worker processes start then; nor does the first epoch where
    frames are still being stored in a `cache_dir`. An epoch that waits little is not mentioned.

    Args:
        loader: what the trainer gets its batches from.
        share: of an epoch's time, in 0..1, above which waiting is mentioned.
        seconds: of waiting in an epoch below which it is not.

    Attributes:
        waited: seconds that the present epoch has waited.

    Example:
        >>> loader = DataLoader([0, 1, 2], num_workers=0)
        >>> trainer = Engine(lambda engine, batch: batch.item())
        >>> DataWait(loader).attach(trainer)
        >>> trainer.run(loader).output
        2
    """

    def __init__(self, loader: DataLoader[Any], *, share: float = 0.2, seconds: float = 10.0) -> None:
        self.loader = loader
        self.share = share
        self.seconds = seconds
        self.waited = 0.0
        self._began: float | None = None
        self._asked = self._finished = 0.0
        self._said = False

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._finish)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _start(self, _: Engine) -> None:
        self.waited, self._began = 0.0, None

    def _ask(self, _: Engine) -> None:
        self._asked = time.perf_counter()

    def _get(self, _: Engine) -> None:
        now = time.perf_counter()
        if self._began is None:
            self._began = now
        else:
            self.waited += now - self._asked

    def _finish(self, _: Engine) -> None:
        self._finished = time.perf_counter()  # here, because validation follows before the epoch is over

    def _report(self, engine: Engine) -> None:
        stored = getattr(self.loader.dataset, "store", None) is not None
        if self._said or self._began is None or (stored and engine.state.epoch == 1):
            return
        took = self._finished - self._began
        if self.waited < self.seconds or self.waited <= self.share * took:
            return
        self._said = True
        logger.warning(
            "epoch %d waited for its data for %.0f of %.0f seconds (%.0f %%): %s",
            engine.state.epoch,
            self.waited,
            took,
            100 * self.waited / took,
            self._remedies(stored=stored),
        )

    def _remedies(self, *, stored: bool) -> str:
        remedies = []
        workers, cores = self.loader.num_workers, os.cpu_count() or 1
        if workers < cores - 1:
            remedies.append(f"more processes that load (num_workers is {workers}, this machine has {cores} cores)")
        rate = getattr(self.loader.dataset, "set_rate", None)
        if rate is not None and rate < 1:
            remedies.append(f"more frames kept in memory (cache_rate is {rate:g})")
        if not stored:
            remedies.append("frames kept on disk (give a cache_dir)")
        return "it would be quicker with " + ", or ".join(remedies or ["a smaller base_size, or more processor cores"])
