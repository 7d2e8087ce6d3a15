"""At the end of an evaluation: tables, metrics and pictures in a folder, a short table on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data.utils import decollate_batch
from monai.utils.enums import CommonKeys
from rich.console import Console

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import InputError
from fetal_monai.metrics.classification import classification_metrics
from fetal_monai.metrics.predictions import SUM_TOLERANCE, UNKNOWN_LABEL, Predictions
from fetal_monai.report.tables import summary_table, write_evaluation

UID_KEYS = ("SOPInstanceUID", "sop_instance_uid")
Row = tuple[str, int, int, str | None, list[float]]


class EvaluationWriter:
    """Collect a MONAI evaluator's predictions and write its results when it completes.

    Writes predictions.csv, metrics.json, per_class.csv and confusion_matrix.png. In a distributed run every process
    contributes and rank 0 writes; images that a distributed sampler repeats to even out the processes count once.

    Args:
        output_dir: the folder; made if missing.
        class_names: the class list, in the order of the network's outputs.
        logits: True where `pred` holds logits (softmax is applied), False where it holds probabilities.
        quiet: print no table.

    Attributes:
        predictions: the last run's `Predictions` (on rank 0), None before.
        paths: what was written, by name.

    Raises:
        InputError: at the end of a run, for NaN, unlabelled data, or probabilities where logits were announced.

    Example:
        >>> import tempfile, torch
        >>> engine = Engine(lambda engine, batch: batch)
        >>> writer = EvaluationWriter(tempfile.mkdtemp(), ["Femur", "Other"], quiet=True)
        >>> writer.attach(engine)
        >>> item = {"pred": torch.tensor([3.0, 0.0]), "label": 0, "SOPInstanceUID": "1.2", "patient_id": "A"}
        >>> _ = engine.run([[item]])
        >>> writer.paths["metrics"].name, writer.predictions.confidence.round(3).tolist()
        ('metrics.json', [0.953])
    """

    def __init__(
        self, output_dir: str | PathLike[str], class_names: Sequence[str], *, logits: bool = True, quiet: bool = False
    ) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.logits = logits
        self.quiet = quiet
        self.predictions: Predictions | None = None
        self.paths: dict[str, Path] = {}
        self._rows: list[Row] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator.

        Args:
            engine: a MONAI evaluator, or any engine whose output holds `pred` and `label`.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, _: Engine) -> None:
        self._rows = []

    def _collect(self, engine: Engine) -> None:
        outputs = _items(engine.state.output)
        inputs = _items(engine.state.batch)
        if len(inputs) != len(outputs):
            raise InputError("evaluation", [f"{len(inputs)} images went in, {len(outputs)} predictions came out"])
        self._rows += [self._row(given, made) for given, made in zip(inputs, outputs, strict=True)]

    def _row(self, given: Mapping[str, Any], made: Mapping[str, Any]) -> Row:
        image = given.get(CommonKeys.IMAGE, made.get(CommonKeys.IMAGE))
        facts = {**getattr(image, "meta", {}), **given}
        name = next((facts[key] for key in UID_KEYS if key in facts), None)
        if name is None:
            name = Path(str(facts.get("filename_or_obj", f"image {len(self._rows) + 1}"))).stem
        patient = facts.get("patient_id")
        label = made.get(CommonKeys.LABEL, given.get(CommonKeys.LABEL, UNKNOWN_LABEL))
        scores = torch.as_tensor(made[CommonKeys.PRED]).detach().double().flatten().cpu().tolist()
        return str(name), int(facts.get("frame", STILL)), int(label), None if patient is None else str(patient), scores

    def _write(self, _: Engine) -> None:
        rows = self._rows
        if idist.get_world_size() > 1:
            gathered: list[list[Row]] = [[] for _ in range(idist.get_world_size())]
            torch.distributed.all_gather_object(gathered, rows)
            unique = {(row[0], row[1]): row for part in gathered for row in part}
            rows = list(unique.values())
        if idist.get_rank() != 0:
            return
        self.predictions = self._predictions(rows)
        self.paths = write_evaluation(self.predictions, self.output_dir)
        if not self.quiet:
            console = Console()
            console.print(summary_table(classification_metrics(self.predictions)))
            for path in self.paths.values():
                console.print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)

    def _predictions(self, rows: Sequence[Row]) -> Predictions:
        if not rows:
            raise InputError("evaluation", ["no images; check that the split is not empty"])
        uids, frames, labels, patients, scores = zip(*rows, strict=True)
        table = torch.tensor(scores, dtype=torch.float64)
        if self.logits:
            if bool(((table >= 0).all(dim=1) & ((table.sum(dim=1) - 1).abs() < SUM_TOLERANCE)).all()):
                problem = "`pred` already holds probabilities; give EvaluationWriter logits=False, or drop the softmax"
                raise InputError("evaluation", [problem])
            table = table.softmax(dim=1)
        known = all(patient is not None for patient in patients)
        return Predictions(
            self.class_names, uids, frames, labels, table.numpy(), patient_ids=patients if known else None
        )


def _items(data: Any) -> list[Mapping[str, Any]]:
    """One dictionary per image, from a decollated list or from a batch."""
    return list(data) if isinstance(data, (list, tuple)) else list(decollate_batch(data))
