"""Resuming: all that a training needs to go on as if it had never stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler

from fetal_monai.errors import InputError, first_line
from fetal_monai.handlers.started_with import EPOCH_LENGTH, describe_start, guess_start
from fetal_monai.model.released_model import is_released
from fetal_monai.utils.tensor_files import save_tensors

BEST_METRIC_KEYS = ("best_metric", "best_metric_epoch")
START = "started_with"
REMEDY = "give the options of the first run, or start afresh with --overwrite True"
_ONE_OR_NONE = ("none", "one")

logger = logging.getLogger(__name__)


class TrainingCheckpoint:
    """Save the state of a training after each epoch, and go on from it when asked to.

    MONAI's `CheckpointSaver` rewrites files in place and cannot name its own trainer; a kill in mid-write would lose
    the run. This one renames a complete file and adds the trainer itself, its gradient scaler, and what the training
    started with: a training with another batch size, learning rate or schedule cannot go on as if it had had them from
    the first epoch, and is refused. More epochs are welcome where no schedule is made for their number. Random state
    needs no saving, because `SeedEpochs` derives it from the epoch. Attach it last, after validation and schedules.

    Of several processes the first writes, and all read; a training of several goes on in one, and the other way round.

    Args:
        path: the checkpoint file.
        objects: what else to save, by name: network, optimizer, schedules, savers (with `state_dict` and
            `load_state_dict`); None values are left out.
        evaluator: its best metric is saved too.
        settings: what else a resumed training must share with the first run, by name; see `describe_start`.
        resume: go on from the file if it exists.
        overwrite: start afresh although the file exists.

    Raises:
        InputError: when a training starts in the folder of the released model; when it starts where another one has
            left its checkpoint, and neither `resume` nor `overwrite` says what to do with it; when the checkpoint
            cannot be read, or not by all processes; or when its training started with other values than this one, which
            are named.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        objects: Mapping[str, Any],
        *,
        evaluator: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.objects = {name: _unwrapped(value) for name, value in objects.items() if value is not None}
        self.parts = frozenset(self.objects)
        self.settings = dict(settings or {})
        self.start: dict[str, Any] = {}
        self.resume = resume
        self.overwrite = overwrite
        if evaluator is not None:
            self.objects["evaluator"] = evaluator
            evaluator.state_dict_user_keys.extend(BEST_METRIC_KEYS)

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        self.objects["trainer"] = engine
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def load(self, engine: Engine) -> None:
        """Restore everything from the file, keeping the trainer's own number of epochs."""
        if is_released(self.path.parent):
            problem = "the model that comes with the package is only read; give a --ckpt_dir of your own"
            raise InputError(self.path.parent, [problem])
        scaler = getattr(engine, "scaler", None)  # MONAI's trainers make it when they run
        if scaler is not None and scaler.is_enabled():
            self.objects["scaler"] = scaler
        steps = getattr(engine, "accumulation_steps", 1)  # MONAI's trainers know it
        settings = self.settings if steps == 1 else {**self.settings, "accumulate": steps}
        self.start = self.start or describe_start(self.objects, engine.state.epoch_length, settings)
        if not self._exists():
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
        checkpoint = self._read()
        try:
            problems = self._contradictions(checkpoint, epochs)
            if not problems:
                self._restore(checkpoint)
        except Exception as error:
            problem = (
                f"this checkpoint does not fit the training ({first_line(error)}); use the configuration that wrote it"
            )
            raise InputError(self.path, [problem]) from error
        if problems:
            raise InputError(self.path, problems)
        engine.state.max_epochs = epochs
        logger.info("resumed from %s after epoch %d", self.path, engine.state.epoch)

    def _read(self) -> dict[str, Any]:
        try:
            checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            problem = f"it is no checkpoint of a training, or it is damaged or cut off ({type(error).__name__})"
            remedy = "copy it again, or start afresh with --overwrite True"
            raise InputError(self.path, [f"{problem}; {remedy}"]) from error
        if not isinstance(checkpoint, dict):
            raise InputError(self.path, ["it is no checkpoint of a training; name the folder of one"])
        return checkpoint

    def _exists(self) -> bool:
        """Whether there is a checkpoint; all processes must agree, or they would train from different weights."""
        exists = self.path.exists()
        if idist.get_world_size() > 1:
            seen: list[bool] = [exists] * idist.get_world_size()
            distributed.all_gather_object(seen, exists)
            if len(set(seen)) > 1:
                problem = (
                    f"process {seen.index(True)} sees this checkpoint and process {seen.index(False)} does not; "
                    "--ckpt_dir must be on storage that all machines share"
                )
                raise InputError(self.path, [problem])
        return exists

    def _restore(self, checkpoint: Mapping[str, Any]) -> None:
        objects = dict(self.objects)
        if "scaler" not in checkpoint and objects.pop("scaler", None) is not None:
            logger.warning("%s holds no state of a gradient scaler: the scale starts anew", self.path)
        Checkpoint.load_objects(to_load=objects, checkpoint=checkpoint)

    def _contradictions(self, checkpoint: Mapping[str, Any], epochs: int | None) -> list[str]:
        """Say where this training differs from the one that wrote the checkpoint, a line each; empty if nowhere."""
        saved = checkpoint.keys() - {"trainer", "evaluator", "scaler", START}
        other_parts = saved ^ self.parts
        problems = [
            f"{name}: {_ONE_OR_NONE[name in saved]} in the checkpoint, {_ONE_OR_NONE[name in self.parts]} in this run; "
            f"{REMEDY}"
            for name in sorted(other_parts)
        ]
        before = checkpoint.get(START) or guess_start(checkpoint, self.objects)
        names = (before.keys() | {"accumulate"}) & self.start.keys()  # former versions never did
        if START in checkpoint:  # options come and go with torch's versions, settings with the configuration alone
            names |= {name for name in before.keys() ^ self.start.keys() if name.isidentifier()}
        different = list[str]()
        for name in sorted(names - other_parts):
            old, new = (start.get(name, "none") for start in (before, self.start))
            if old != new and not any(name.startswith(f"{whole}.") for whole in different):
                different.append(name)
                reason = self._reason(name, checkpoint["trainer"]["max_epochs"], epochs)
                problems.append(f"{name}: {old} in the checkpoint, {new} in this run{reason}; {REMEDY}")
        return problems

    def _reason(self, name: str, epochs_before: int | None, epochs: int | None) -> str:
        if name == EPOCH_LENGTH:
            return " (iterations of an epoch: the batch size or the training images are others)"
        scheduled = name in self.settings or isinstance(self.objects.get(name.partition(".")[0]), LRScheduler)
        if scheduled and epochs != epochs_before:
            plural = "" if epochs_before == 1 else "s"
            return (
                f" (made for {epochs_before} epoch{plural}; over {epochs} it would have been another schedule "
                "from the beginning)"
            )
        return ""

    def save(self, engine: Engine) -> None:
        """Write the file, whole or not at all."""
        if idist.get_rank() > 0:
            return
        content = {START: self.start, **{name: value.state_dict() for name, value in self.objects.items()}}
        save_tensors(content, self.path)
        logger.debug("saved %s after epoch %d", self.path, engine.state.epoch)


def _unwrapped(value: Any) -> Any:
    """A network without the wrapper of several processes, whose names no single process has."""
    return value.module if isinstance(value, DistributedDataParallel) else value
