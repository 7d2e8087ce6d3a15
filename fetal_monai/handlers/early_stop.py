"""Early stopping that survives a resume."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

logger = logging.getLogger(__name__)


class EarlyStop:
    """End a training when validation has not improved for a number of epochs.

    MONAI's and ignite's handlers count validations in a state of their own and must be given the trainer, which a
    config cannot refer to from the trainer's handlers. This one asks which epoch was the best, which MONAI's
    `Evaluator` knows and `TrainingCheckpoint` keeps, so there is nothing to lose. Attach it after the validation.

    Args:
        evaluator: the validator, with a key metric.
        patience: epochs without a new best before training ends.
    """

    def __init__(self, evaluator: Evaluator, patience: int) -> None:
        self.evaluator = evaluator
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        """Hook into the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """End the training if it is time; an epoch that was not validated tells nothing, and is in no model folder."""
        best: Any = self.evaluator.state
        if (
            best.epoch == engine.state.epoch
            and best.best_metric_epoch > 0
            and engine.state.epoch - best.best_metric_epoch >= self.patience
        ):
            logger.info("no improvement since epoch %d: training ends", best.best_metric_epoch)
            engine.terminate()
