"""What each validation looks like, in TensorBoard: per-class curves, confusion matrix, reliability, sample images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.utils.enums import CommonKeys
from numpy.typing import NDArray
from torch.utils.tensorboard.writer import SummaryWriter

from fetal_monai.handlers.prediction_collector import Item, PredictionCollector, Row
from fetal_monai.metrics.calibration_error import calibration_metrics, top_label_bins
from fetal_monai.metrics.classification import confusion_counts, per_class_table
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.report.confusion import confusion_figure
from fetal_monai.report.reliability import reliability_figure
from fetal_monai.report.samples import samples_figure

SAMPLE_SIZE = 224


class TensorBoardFigures(PredictionCollector):
    """Write per-class F1 and recall, calibration error, confusion matrix, reliability diagram and samples.

    Attach it to the validation evaluator; the step is the trainer's epoch, which MONAI hands to the evaluator. Scalars
    of training and averages come from MONAI's own `TensorBoardStatsHandler`.

    Args:
        log_dir: TensorBoard's folder, the same as the other handlers'.
        class_names: the class list, in the order of the network's outputs.
        logits: True where `pred` holds logits, False where it holds probabilities.
        image_range: values of `image` that are black and white.
        samples: show the first image of each class, up to this many; 0 for none.
        interval: write every so many epochs.
        tag: prefix of all names in TensorBoard.

    Raises:
        InputError: as `PredictionCollector` does.

    Example:
        >>> import tempfile
        >>> handler = TensorBoardFigures(tempfile.mkdtemp(), ["Femur", "Other"])
        >>> engine = Engine(lambda engine, batch: batch)
        >>> handler.attach(engine)
        >>> item = {"pred": torch.tensor([3.0, 0.0]), "label": 0, "image": torch.zeros(3, 8, 8)}
        >>> _ = engine.run([[item]])
    """

    def __init__(
        self,
        log_dir: str | PathLike[str],
        class_names: Sequence[str],
        *,
        logits: bool = True,
        image_range: tuple[float, float] = (-1.0, 1.0),
        samples: int = 16,
        interval: int = 1,
        tag: str = "val",
    ) -> None:
        super().__init__(class_names, logits=logits)
        self.log_dir = fspath(log_dir)
        self.image_range = image_range
        self.samples = samples
        self.interval = interval
        self.tag = tag
        self._shown: dict[int, tuple[Row, NDArray[np.uint8]]] = {}
        self._candidates: list[tuple[Row, NDArray[np.uint8]]] = []
        self._writer: SummaryWriter | None = None

    def started(self) -> None:
        """Forget the images of the last epoch."""
        self._shown = {}

    def collected(self, image: Item, output: Item, row: Row) -> None:
        """Keep the first image of each class.

        Args:
            image: what went in.
            output: what came out.
            row: the row of the table.
        """
        pixels = image.get(CommonKeys.IMAGE, output.get(CommonKeys.IMAGE))
        if pixels is not None and len(self._shown) < self.samples:
            self._shown.setdefault(row[2], (row, _thumbnail(torch.as_tensor(pixels), self.image_range)))

    def kept(self) -> Any:
        """Return the images to show, by class."""
        return self._shown

    def gathered(self, kept: Sequence[Any]) -> None:
        """Gather the images of all processes.

        Args:
            kept: of each process.
        """
        self._candidates = [shown for part in kept for shown in part.values()]

    def completed(self, engine: Engine, predictions: Predictions) -> None:
        """Write to TensorBoard.

        Args:
            engine: the evaluator, whose epoch is the step.
            predictions: of all processes.
        """
        step = engine.state.epoch
        if step % self.interval:
            return
        if self._writer is None:
            self._writer = SummaryWriter(self.log_dir)
        for name, row in per_class_table(predictions).iterrows():
            for key in ("f1", "recall"):
                if not np.isnan(row[key]):
                    self._writer.add_scalar(f"{self.tag}_{key}/{name}", row[key], step)
        for key, value in calibration_metrics(predictions).items():
            self._writer.add_scalar(f"{self.tag}_calibration/{key}", value, step)
        figures = {
            "confusion_matrix": confusion_figure(confusion_counts(predictions), predictions.class_names),
            "reliability": reliability_figure({"validation": top_label_bins(predictions)}),
        }
        if self._candidates:
            position = {key: index for index, key in enumerate(predictions.keys)}
            placed = [(position[row[0], row[1]], row[2], pixels) for row, pixels in self._candidates]
            first: dict[int, tuple[int, NDArray[np.uint8]]] = {}  # of each class
            for place, label, pixels in sorted(placed, key=lambda item: item[0]):
                first.setdefault(label, (place, pixels))
            shown = list(islice(first.values(), self.samples))
            rows = [place for place, _ in shown]
            names = [*predictions.class_names, "unknown"]
            captions = [
                (names[predictions.labels[i]], names[predictions.predicted[i]], float(predictions.confidence[i]))
                for i in rows
            ]
            figures["samples"] = samples_figure([pixels for _, pixels in shown], captions)
        for name, figure in figures.items():
            self._writer.add_figure(f"{self.tag}/{name}", figure, step, close=False)
        self._writer.flush()


def _thumbnail(image: torch.Tensor, image_range: tuple[float, float]) -> NDArray[np.uint8]:
    black, white = image_range
    scale = SAMPLE_SIZE / max(image.shape[-2:])
    small = image.detach().float().cpu()
    if scale < 1:
        small = torch.nn.functional.interpolate(small[None], scale_factor=scale, mode="area")[0]
    pixels = ((small - black) / (white - black)).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy(), dtype=np.uint8)
