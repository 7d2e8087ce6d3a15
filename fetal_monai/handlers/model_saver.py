"""The model folder: written after the validations that are to be kept, the best so far or each."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.decisions import FITTED_FILES
from fetal_monai.model.facts import ModelFacts, write_facts
from fetal_monai.model.folder import WEIGHTS_FILE, save_weights

Keep = Literal["best", "last"]


class ModelSaver:
    """Write the model folder after a validation that is the best yet, or after every one.

    Which validation was the best is what MONAI's `Evaluator` keeps in its state, and `TrainingCheckpoint` with it, so a
    resumed training never replaces a better model. MONAI's `CheckpointSaver` keeps a list of its own, and rewrites
    files in place, which a kill would leave half-written. Of several processes the first writes.

    Args:
        folder: gets `model.pt`, a plain state dict, and `model.json` (see `fetal_monai.model`); what an earlier
            evaluation fitted to other weights is removed.
        network: the network.
        facts: what `model.json` shall say; the epoch and the metric are added.
        keep: "best", by the key metric; or "last", for trainings whose learning rate falls to zero: their last epoch is
            as good as any, and a choice among noisy validations is a choice of noise (docs/accuracy.md).

    Raises:
        FetalMonaiError: if `keep` is neither.
    """

    def __init__(
        self, folder: str | PathLike[str], network: torch.nn.Module, facts: ModelFacts, *, keep: Keep = "best"
    ) -> None:
        if keep not in get_args(Keep):
            raise FetalMonaiError(f"keep is {keep!r}; it must be one of {', '.join(get_args(Keep))}")
        self.folder = Path(folder)
        self.network = network
        self.facts = facts
        self.keep = keep

    def attach(self, engine: Engine) -> None:
        """Hook into a MONAI `Evaluator` that has a key metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save, unless only the best is kept and this validation was not the best yet."""
        if idist.get_rank() > 0:
            return
        state: Any = engine.state  # MONAI adds the metrics' names and the best one to ignite's state
        if self.keep == "best" and state.best_metric_epoch != state.epoch:
            return
        for name in FITTED_FILES:  # an earlier evaluation's: calibrated for other weights
            (self.folder / name).unlink(missing_ok=True)
        save_weights(self.network, self.folder / WEIGHTS_FILE)
        selected = {
            "epoch": int(state.epoch),
            f"val_{state.key_metric_name}": float(state.metrics[state.key_metric_name]),
        }
        write_facts(self.folder, self.facts, selected)
