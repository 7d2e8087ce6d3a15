"""At the end of an evaluation: tables, metrics and pictures in a folder, a short table on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ignite.engine import Engine
from rich.console import Console

from fetal_monai.handlers.prediction_collector import PredictionCollector
from fetal_monai.metrics.classification import classification_metrics
from fetal_monai.metrics.predictions import Predictions
from fetal_monai.report.tables import summary_table, write_evaluation


class EvaluationWriter(PredictionCollector):
    """Write predictions.csv, metrics.json, per_class.csv and confusion_matrix.png when a MONAI evaluator completes.

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
        super().__init__(class_names, logits=logits)
        self.output_dir = Path(output_dir)
        self.quiet = quiet
        self.predictions: Predictions | None = None
        self.paths: dict[str, Path] = {}

    def completed(self, engine: Engine, predictions: Predictions) -> None:  # noqa: ARG002  the base class names it
        """Write the files and print the table.

        Args:
            engine: the evaluator.
            predictions: of all processes.
        """
        self.predictions = predictions
        self.paths = write_evaluation(predictions, self.output_dir)
        if not self.quiet:
            console = Console()
            console.print(summary_table(classification_metrics(predictions)))
            for path in self.paths.values():
                console.print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)
