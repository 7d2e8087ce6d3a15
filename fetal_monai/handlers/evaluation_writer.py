"""At the end of an evaluation: tables, metrics, pictures and a report in a folder, a short table on the screen."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from ignite.engine import Engine
from rich.console import Console

from fetal_monai.errors import InputError
from fetal_monai.handlers.prediction_collector import PredictionCollector
from fetal_monai.metrics.ood import Mahalanobis, outlier_threshold
from fetal_monai.metrics.prediction_checks import UNKNOWN_LABEL
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.model.calibration import Method
from fetal_monai.model.decisions import Decisions
from fetal_monai.model.facts import read_facts
from fetal_monai.model.folder import WEIGHTS_FILE
from fetal_monai.model.released_model import is_released
from fetal_monai.report.evaluation import Evaluation, evaluate
from fetal_monai.report.evaluation_files import write_evaluation
from fetal_monai.report.gallery import explain_errors
from fetal_monai.report.html import SectionMaker, write_report
from fetal_monai.report.model_card import model_card
from fetal_monai.report.summary import summary_table

logger = logging.getLogger(__name__)


class EvaluationWriter(PredictionCollector):
    """Write what `fetal_monai.report` knows of a MONAI evaluator's run, when it completes.

    Labelled images: metrics.json, per_class.csv, predictions.csv, confusion_matrix.png, reliability.png, report.html.
    Images without any label: predictions.csv alone.

    Args:
        output_dir: the folder; made if missing.
        class_names: the class list, in the order of the network's outputs; None takes that of the model folder, when a
            run starts.
        logits: True where `pred` holds logits (softmax is applied), False where it holds probabilities.
        network: keep its fused features, for the out-of-distribution score.
        validation: a collector whose evaluator has run on the validation split. Calibration, an abstention threshold
            and conformal sets are fitted on its predictions, and the files hold calibrated probabilities.
        calibration: "auto", "temperature", "vector" or "none", see `fit_calibration`.
        training: a collector with features whose evaluator has run on the training split. With features of `validation`
            it gives the out-of-distribution score and its threshold; if its images are too few, a warning.
        model_dir: the model folder. What was fitted is stored there, but never in that of the released model, and the
            report shows its facts and explains errors with its network.
        report: write report.html.
        sections: of one's own for the report: each is called with the `Evaluation` and returns a `Section`.
        quiet: print nothing.

    Attributes:
        paths: what was written, by name.

    Raises:
        InputError: at the end of a run, for NaN, probabilities where logits were announced, a validation that has not
            run, or one that shares images or patients with this split.

    Example:
        >>> import tempfile
        >>> engine = Engine(lambda engine, batch: batch)
        >>> writer = EvaluationWriter(tempfile.mkdtemp(), ["Femur", "Other"], quiet=True, report=False)
        >>> writer.attach(engine)
        >>> item = {"pred": torch.tensor([3.0, 0.0]), "label": 0, "SOPInstanceUID": "1.2", "patient_id": "A"}
        >>> _ = engine.run([[item]])
        >>> writer.paths["metrics"].name, writer.predictions.confidence.round(3).tolist()
        ('metrics.json', [0.953])
    """

    def __init__(
        self,
        output_dir: str | PathLike[str],
        class_names: Sequence[str] | None = None,
        *,
        logits: bool = True,
        network: torch.nn.Module | None = None,
        validation: PredictionCollector | None = None,
        calibration: Method | Literal["auto"] = "auto",
        training: PredictionCollector | None = None,
        model_dir: str | PathLike[str] | None = None,
        report: bool = True,
        sections: Sequence[SectionMaker] = (),
        quiet: bool = False,
    ) -> None:
        if class_names is None and model_dir is None:
            raise ValueError("give class_names, or a model_dir that knows them")
        super().__init__(class_names or [], logits=logits, network=network)
        self.output_dir = Path(output_dir)
        self.validation = validation
        self.calibration: Method | Literal["auto"] = calibration
        self.training = training
        self.model_dir = None if model_dir is None else Path(model_dir)
        self.report = report
        self.sections = list(sections)
        self.quiet = quiet
        self.paths: dict[str, Path] = {}

    def started(self) -> None:
        """Read the classes, unless they were given."""
        if not self.class_names and self.model_dir is not None:
            self.class_names = read_facts(self.model_dir).class_names

    def completed(self, engine: Engine, predictions: Predictions) -> None:
        """Write the files and print the table.

        Args:
            engine: the evaluator; not looked at.
            predictions: of all processes.
        """
        del engine
        console = Console(quiet=self.quiet)
        if (predictions.labels == UNKNOWN_LABEL).all():
            self.paths = {"predictions": self.output_dir / "predictions.csv"}
            predictions.write_csv(self.paths["predictions"])
        else:
            evaluation = self._evaluate(predictions)
            console.print(summary_table(evaluation))
        for path in self.paths.values():
            console.print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)

    def _evaluate(self, predictions: Predictions) -> Evaluation:
        validation = None if self.validation is None else _done(self.validation, "validation")
        evaluation = evaluate(predictions, validation, calibration=self.calibration)
        decisions = self._decisions(evaluation)
        if decisions.ood is not None and decisions.ood_threshold is not None and self.features is not None:
            flagged = decisions.ood.score(self.features) > decisions.ood_threshold
            evaluation.metrics["out_of_distribution"] = {
                "threshold": decisions.ood_threshold,
                "flagged": float(flagged.mean()),
            }
        self.paths = write_evaluation(evaluation, self.output_dir)
        if validation is not None:
            self.paths["predictions_validation"] = self.output_dir / "predictions_validation.csv"
            validation.write_csv(self.paths["predictions_validation"])
        if self.report:
            self.paths["report"] = self._report(evaluation)
        if validation is not None and self.model_dir is not None and not is_released(self.model_dir):
            digest = hashlib.sha256((self.model_dir / WEIGHTS_FILE).read_bytes()).hexdigest()
            decisions.write(self.model_dir, digest)
            self.paths["model"] = self.model_dir
        return evaluation

    def _decisions(self, evaluation: Evaluation) -> Decisions:
        distance = threshold = None
        if self.training is not None and self.validation is not None:
            labels = _done(self.training, "training").labels
            if self.training.features is None or self.validation.features is None:
                raise InputError("evaluation", ["features are missing; give the collectors the network"])
            try:
                distance = Mahalanobis.fit(self.training.features, labels)
                threshold = outlier_threshold(distance.score(self.validation.features))
            except InputError as error:  # too few images; the evaluation stands without it
                logger.warning("no out-of-distribution score is fitted: %s", error)
        return Decisions(evaluation.calibration, evaluation.abstention, evaluation.conformal, distance, threshold)

    def _report(self, evaluation: Evaluation) -> Path:
        facts = None if self.model_dir is None else read_facts(self.model_dir)
        errors = [] if self.model_dir is None else explain_errors(evaluation.predictions, self.frames, self.model_dir)
        return write_report(
            evaluation,
            self.output_dir / "report.html",
            frames=self.frames,
            errors=errors,
            sections=self.sections,
            model_card=model_card(evaluation, facts),
        )


def _done(collector: PredictionCollector, split: str) -> Predictions:
    if collector.predictions is None:
        raise InputError("evaluation", [f"the {split} split has not been run; run its evaluator first"])
    return collector.predictions
