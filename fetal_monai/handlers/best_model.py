"""The model folder: written whenever validation says that the model is the best so far."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from fetal_monai.files import atomic_path
from fetal_monai.inference.decisions import FITTED_FILES
from fetal_monai.model_folder import WEIGHTS_FILE, ModelFacts, write_facts


class BestModelSaver:
    """Write the model folder after a validation that reached the best key metric yet.

    Which validation was the best is what MONAI's `Evaluator` keeps in its state, and `TrainingCheckpoint` with it, so a
    resumed training never replaces a better model. MONAI's `CheckpointSaver` keeps a list of its own, and rewrites
    files in place, which a kill would leave half-written.

    Args:
        folder: gets `model.pt`, a plain state dict, and `model.json` (see `fetal_monai.model_folder`); what an earlier
            evaluation fitted to other weights is removed.
        network: the network.
        facts: what `model.json` shall say; the epoch and the metric are added.
    """

    def __init__(self, folder: str | PathLike[str], network: torch.nn.Module, facts: ModelFacts) -> None:
        self.folder = Path(folder)
        self.network = network
        self.facts = facts

    def attach(self, engine: Engine) -> None:
        """Hook into a MONAI `Evaluator` that has a key metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save if this validation was the best one yet."""
        state: Any = engine.state  # MONAI adds the metrics' names and the best one to ignite's state
        if state.best_metric_epoch != state.epoch:
            return
        for name in FITTED_FILES:  # an earlier evaluation's: calibrated for other weights
            (self.folder / name).unlink(missing_ok=True)
        with atomic_path(self.folder / WEIGHTS_FILE) as temporary:
            torch.save(self.network.state_dict(), temporary)
        selected = {
            "epoch": int(state.epoch),
            f"val_{state.key_metric_name}": float(state.best_metric),
        }
        write_facts(self.folder, self.facts, selected)
