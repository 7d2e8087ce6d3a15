"""The predictions of one run of a MONAI evaluator, as a table."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import decollate_batch
from monai.utils.enums import CommonKeys
from monai.utils.misc import ImageMetaKey
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import DistributedSampler

from fetal_monai.dicom.frame_ref import STILL, FrameRef
from fetal_monai.errors import InputError
from fetal_monai.metrics.prediction_checks import SUM_TOLERANCE, UNKNOWN_LABEL
from fetal_monai.metrics.prediction_table import Predictions

UID_KEYS = ("SOPInstanceUID", "sop_instance_uid")
Row = tuple[str, int, int, str | None, list[float], str, NDArray[np.float32] | None]
Item = Mapping[str, Any]


class PredictionCollector:
    """Keep all predictions of a run; subclasses say in `completed` what to do with them.

    In a distributed run every process contributes and rank 0 goes on, with the images in the data set's order; those
    that a distributed sampler repeats to even out the processes count once. Decollated lists and plain batches are both
    understood.

    Args:
        class_names: the class list, in the order of the network's outputs.
        logits: True where `pred` holds logits (softmax is applied), False where it holds probabilities.
        network: keep the fused features of this network, too: what its `head` is given.

    Attributes:
        predictions: of the last run (on rank 0), None before.
        frames: where each image of it was read from, by UID and frame; without those not read from files.
        features: (N, D) of its images, in the order of `predictions`; None without a network.

    Raises:
        InputError: at the end of a run, for NaN, no image, or probabilities where logits were announced.

    Example:
        >>> engine = Engine(lambda engine, batch: batch)
        >>> collector = PredictionCollector(["Femur", "Other"])
        >>> collector.attach(engine)
        >>> _ = engine.run([[{"pred": torch.tensor([3.0, 0.0]), "label": 0, "SOPInstanceUID": "1.2"}]])
        >>> collector.predictions.confidence.round(3).tolist()
        [0.953]
    """

    def __init__(
        self, class_names: Sequence[str], *, logits: bool = True, network: torch.nn.Module | None = None
    ) -> None:
        self.class_names = list(class_names)
        self.network = network
        self.features: NDArray[np.float32] | None = None
        self.logits = logits
        self.predictions: Predictions | None = None
        self.frames: dict[tuple[str, int], FrameRef] = {}
        self._rows: list[Row] = []
        self._places: list[int] | None = None
        self._pooled: torch.Tensor | None = None
        self._hook: Any = None

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
            row: UID, frame, label, patient, scores, file and features.
        """

    def kept(self) -> Any:
        """What a subclass has kept of this process's images; the first process gets that of all."""

    def gathered(self, kept: Sequence[Any]) -> None:
        """See what all processes have kept; called before `completed`, on rank 0 only.

        Args:
            kept: what `kept` returned, by rank.
        """

    def completed(self, engine: Engine, predictions: Predictions) -> None:
        """Use the predictions; called on rank 0 only.

        Args:
            engine: the evaluator that has completed.
            predictions: of all processes.
        """

    def _start(self, engine: Engine) -> None:
        self._rows = []
        sampler = getattr(getattr(engine, "data_loader", None), "sampler", None)
        self._places = list(sampler) if isinstance(sampler, DistributedSampler) else None
        if self.network is not None:
            head = self.network.get_submodule("head")
            self._hook = head.register_forward_pre_hook(lambda _, given: setattr(self, "_pooled", given[0].detach()))
        self.started()

    def _iteration(self, engine: Engine) -> None:
        images, outputs = _items(engine.state.batch), _items(engine.state.output)
        if len(images) != len(outputs):
            raise InputError("evaluation", [f"{len(images)} images went in, {len(outputs)} predictions came out"])
        pooled = None if self._pooled is None else self._pooled.float().cpu().numpy()
        for index, (image, output) in enumerate(zip(images, outputs, strict=True)):
            position = len(self._rows)
            place = position if self._places is None else self._places[position]
            row = (*_row(image, output, place), None if pooled is None else pooled[index])
            self._rows.append(row)
            self.collected(image, output, row)

    def _finish(self, engine: Engine) -> None:
        if self._hook is not None:
            self._hook.remove()
        rows, kept = self._rows, [self.kept()]
        if idist.get_world_size() > 1:
            parts: list[Any] = [None] * idist.get_world_size()
            distributed.gather_object((self._by_place(), *kept), parts if idist.get_rank() == 0 else None)
            if idist.get_rank() == 0:
                rows, kept = _merged([part for part, _ in parts]), [part for _, part in parts]
        if idist.get_rank() == 0:
            self.gathered(kept)
            self.predictions = self._predictions(rows)
            self.frames = {(row[0], row[1]): FrameRef(row[5], row[1]) for row in rows if row[5]}
            self.features = np.stack([row[6] for row in rows]) if self.network is not None else None  # type: ignore[misc]
            self.completed(engine, self.predictions)

    def _by_place(self) -> dict[Hashable, Row]:
        """Rows by their place in the data set, or by image where no sampler tells it."""
        if self._places is None:
            return {(row[0], row[1]): row for row in self._rows}
        return dict(zip(self._places, self._rows, strict=False))  # a run may be cut short

    def _predictions(self, rows: Sequence[Row]) -> Predictions:
        if not rows:
            raise InputError("evaluation", ["no images; check that the split is not empty"])
        uids, frames, labels, patients, scores, *_ = zip(*rows, strict=True)
        table = torch.tensor(scores, dtype=torch.float64)
        if self.logits:
            if bool(((table >= 0).all(dim=1) & ((table.sum(dim=1) - 1).abs() < SUM_TOLERANCE)).all()):
                problem = f"`pred` already holds probabilities; give {type(self).__name__} logits=False"
                raise InputError("evaluation", [problem])
            table = table.softmax(dim=1)
        known = all(patients)
        return Predictions(
            self.class_names, uids, frames, labels, table.numpy(), patient_ids=patients if known else None
        )


def _merged(parts: Sequence[Mapping[Any, Row]]) -> list[Row]:
    rows = {place: row for part in parts for place, row in part.items()}
    ordered = sorted(rows) if all(isinstance(place, int) for place in rows) else rows
    return [rows[place] for place in ordered]


def _row(image: Item, output: Item, position: int) -> tuple[str, int, int, str | None, list[float], str]:
    facts = {**getattr(image.get(CommonKeys.IMAGE, output.get(CommonKeys.IMAGE)), "meta", {}), **image}
    frame = int(facts.get("frame", STILL))
    path = str(facts.get(ImageMetaKey.FILENAME_OR_OBJ, "")).removesuffix(f"#{frame}")  # as FrameRef prints itself
    name = next((facts[key] for key in UID_KEYS if facts.get(key)), None)
    if name is None:
        name = Path(path).stem or f"image {position + 1}"
    patient = facts.get("patient_id")
    label = next((item[CommonKeys.LABEL] for item in (output, image) if item.get(CommonKeys.LABEL) is not None), None)
    scores = torch.as_tensor(output[CommonKeys.PRED]).detach().double().flatten().cpu().tolist()
    return (
        str(name),
        frame,
        UNKNOWN_LABEL if label is None else int(label),
        None if patient is None else str(patient),
        scores,
        path,
    )


def _items(data: Any) -> list[Item]:
    """One dictionary per image, from a decollated list or from a batch."""
    return list(data) if isinstance(data, (list, tuple)) else list(decollate_batch(data))
