"""Resuming: all that a training needs to go on as if it had never stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint

from fetal_monai.errors import InputError
from fetal_monai.files import atomic_path

BEST_METRIC_KEYS = ("best_metric", "best_metric_epoch")

logger = logging.getLogger(__name__)


class TrainingCheckpoint:
    """Save the state of a training after each epoch, and go on from it when asked to.

    MONAI's `CheckpointSaver` rewrites files in place and cannot name its own trainer; a kill in mid-write would lose
    the run. This one renames a complete file and adds the trainer itself. Random state needs no saving, because
    `SeedEpochs` derives it from the epoch. Attach it last, after validation and schedules.

    Args:
        path: the checkpoint file.
        objects: what else to save, by name: network, optimizer, schedules, savers (with `state_dict` and
            `load_state_dict`); None values are left out.
        evaluator: its best metric is saved too.
        resume: go on from the file if it exists.
        overwrite: start afresh although the file exists.

    Raises:
        InputError: when a training starts where another one has left its checkpoint, and neither `resume` nor
            `overwrite` says what to do with it; or when the checkpoint cannot be read.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        objects: Mapping[str, Any],
        *,
        evaluator: Engine | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.objects = {name: value for name, value in objects.items() if value is not None}
        self.resume = resume
        self.overwrite = overwrite
        if evaluator is not None:
            self.objects["evaluator"] = evaluator
            evaluator.state_dict_user_keys.extend(BEST_METRIC_KEYS)

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        self.objects["trainer"] = engine
        scaler = getattr(engine, "scaler_", None)
        if scaler is not None:
            self.objects["scaler"] = scaler
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def load(self, engine: Engine) -> None:
        """Restore everything from the file, keeping the trainer's own number of epochs."""
        if not self.path.exists():
            if self.resume:
                logger.warning("%s does not exist yet: training starts from the beginning", self.path)
            return
        if not self.resume:
            if self.overwrite:
                return
            problem = (
                "an earlier training left its checkpoint here; add --resume True to go on with it, "
                "--overwrite True to start afresh, or choose another --ckpt_dir"
            )
            raise InputError(self.path, [problem])
        epochs = engine.state.max_epochs
        try:
            checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
            Checkpoint.load_objects(to_load=self.objects, checkpoint=checkpoint)
        except Exception as error:
            cause = str(error).splitlines()[0]
            problem = f"this checkpoint does not fit the training ({cause}); use the configuration that wrote it"
            raise InputError(self.path, [problem]) from error
        engine.state.max_epochs = epochs
        logger.info("resumed from %s after epoch %d", self.path, engine.state.epoch)

    def save(self, engine: Engine) -> None:
        """Write the file, whole or not at all."""
        with atomic_path(self.path) as temporary:
            torch.save({name: value.state_dict() for name, value in self.objects.items()}, temporary)
        logger.debug("saved %s after epoch %d", self.path, engine.state.epoch)
