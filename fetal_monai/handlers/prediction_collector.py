"""What several handlers need: the predictions of one run of a MONAI evaluator, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data.utils import decollate_batch
from monai.utils.enums import CommonKeys

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import InputError
from fetal_monai.metrics.predictions import SUM_TOLERANCE, UNKNOWN_LABEL, Predictions

UID_KEYS = ("SOPInstanceUID", "sop_instance_uid")
Row = tuple[str, int, int, str | None, list[float]]
Item = Mapping[str, Any]


class PredictionCollector:
    """Base of handlers that want all predictions of a run; subclasses say in `completed` what to do with them.

    In a distributed run every process contributes and rank 0 goes on; images that a distributed sampler repeats to
    even out the processes count once. Decollated lists and plain batches are both understood.

    Args:
        class_names: the class list, in the order of the network's outputs.
        logits: True where `pred` holds logits (softmax is applied), False where it holds probabilities.

    Raises:
        InputError: at the end of a run, for NaN, no image, or probabilities where logits were announced.
    """

    def __init__(self, class_names: Sequence[str], *, logits: bool = True) -> None:
        self.class_names = list(class_names)
        self.logits = logits
        self._rows: list[Row] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator.

        Args:
            engine: a MONAI evaluator, or any engine whose output holds `pred` and `label`.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def started(self) -> None:
        """Forget what a subclass keeps from an earlier run."""

    def collected(self, image: Item, output: Item, row: Row) -> None:
        """See one image while it is there.

        Args:
            image: what the data loader gave: `image` (a MetaTensor) and the data list's own keys.
            output: what the evaluator made of it: `pred`, `label`.
            row: UID, frame, label, patient and scores.
        """

    def completed(self, engine: Engine, predictions: Predictions) -> None:
        """Use the predictions; called on rank 0 only.

        Args:
            engine: the evaluator that has completed.
            predictions: of all processes.
        """
        raise NotImplementedError

    def _start(self, _: Engine) -> None:
        self._rows = []
        self.started()

    def _iteration(self, engine: Engine) -> None:
        images, outputs = _items(engine.state.batch), _items(engine.state.output)
        if len(images) != len(outputs):
            raise InputError("evaluation", [f"{len(images)} images went in, {len(outputs)} predictions came out"])
        for image, output in zip(images, outputs, strict=True):
            row = _row(image, output, len(self._rows))
            self._rows.append(row)
            self.collected(image, output, row)

    def _finish(self, engine: Engine) -> None:
        rows = self._rows
        if idist.get_world_size() > 1:
            gathered: list[list[Row]] = [[] for _ in range(idist.get_world_size())]
            torch.distributed.all_gather_object(gathered, rows)
            rows = list({(row[0], row[1]): row for part in gathered for row in part}.values())
        if idist.get_rank() == 0:
            self.completed(engine, self._predictions(rows))

    def _predictions(self, rows: Sequence[Row]) -> Predictions:
        if not rows:
            raise InputError("evaluation", ["no images; check that the split is not empty"])
        uids, frames, labels, patients, scores = zip(*rows, strict=True)
        table = torch.tensor(scores, dtype=torch.float64)
        if self.logits:
            if bool(((table >= 0).all(dim=1) & ((table.sum(dim=1) - 1).abs() < SUM_TOLERANCE)).all()):
                problem = f"`pred` already holds probabilities; give {type(self).__name__} logits=False"
                raise InputError("evaluation", [problem])
            table = table.softmax(dim=1)
        known = all(patient is not None for patient in patients)
        return Predictions(
            self.class_names, uids, frames, labels, table.numpy(), patient_ids=patients if known else None
        )


def _row(image: Item, output: Item, position: int) -> Row:
    facts = {**getattr(image.get(CommonKeys.IMAGE, output.get(CommonKeys.IMAGE)), "meta", {}), **image}
    name = next((facts[key] for key in UID_KEYS if key in facts), None)
    if name is None:
        name = Path(str(facts.get("filename_or_obj", f"image {position + 1}"))).stem
    patient = facts.get("patient_id")
    label = output.get(CommonKeys.LABEL, image.get(CommonKeys.LABEL, UNKNOWN_LABEL))
    scores = torch.as_tensor(output[CommonKeys.PRED]).detach().double().flatten().cpu().tolist()
    return str(name), int(facts.get("frame", STILL)), int(label), None if patient is None else str(patient), scores


def _items(data: Any) -> list[Item]:
    """One dictionary per image, from a decollated list or from a batch."""
    return list(data) if isinstance(data, (list, tuple)) else list(decollate_batch(data))
