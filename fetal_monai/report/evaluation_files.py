"""The files that an evaluation leaves behind, and the short table that it prints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from fetal_monai.metrics.bootstrap import Interval
from fetal_monai.metrics.calibration_error import top_label_bins
from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON, confusion_counts, per_class_table
from fetal_monai.metrics.weighted import PER_CLASS
from fetal_monai.report.confusion import confusion_figure, write_figure
from fetal_monai.report.evaluation import Evaluation
from fetal_monai.report.reliability import reliability_figure
from fetal_monai.utils.files import atomic_path

MACRO_F1_OF_COMMON_LABEL = f"Macro F1, classes of {ENOUGH_IMAGES}+ images"
SUMMARY = {
    "macro_f1": "Macro F1",
    MACRO_F1_OF_COMMON: MACRO_F1_OF_COMMON_LABEL,
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "ECE",
}


def write_json(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write strict JSON (no NaN), whole or not at all.

    Args:
        content: what to write.
        path: the file.

    Raises:
        ValueError: if a value is NaN or infinite: undefined values are None.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_evaluation(evaluation: Evaluation, output_dir: str | os.PathLike[str]) -> dict[str, Path]:
    """Write predictions.csv, metrics.json, per_class.csv, confusion_matrix.png and reliability.png.

    Where probabilities were calibrated, predictions.csv holds the calibrated ones and predictions_uncalibrated.csv the
    network's own.

    Args:
        evaluation: what was found out.
        output_dir: the folder; made if missing.

    Returns:
        The path of each file by its name without suffix.
    """
    folder = Path(output_dir)
    names = ["metrics.json", "per_class.csv", "predictions.csv", "confusion_matrix.png", "reliability.png"]
    if evaluation.calibration is not None:
        names.append("predictions_uncalibrated.csv")
    paths = {Path(name).stem: folder / name for name in names}
    table, metrics = evaluation.predictions, evaluation.metrics
    write_json(metrics, paths["metrics"])
    with atomic_path(paths["per_class"]) as temporary:
        _per_class(evaluation).to_csv(temporary, float_format="%.6f")
    table.write_csv(paths["predictions"])
    if evaluation.calibration is not None:
        evaluation.raw.write_csv(paths["predictions_uncalibrated"])
    title = f"{metrics['images']} images: macro F1 {metrics['macro_f1']:.3f}, accuracy {metrics['accuracy']:.3f}"
    write_figure(confusion_figure(confusion_counts(table), table.class_names, title), paths["confusion_matrix"])
    write_figure(reliability_figure(reliability_diagrams(evaluation)), paths["reliability"])
    return paths


def reliability_diagrams(evaluation: Evaluation) -> dict[str, Any]:
    """The reliability diagrams of an evaluation.

    Args:
        evaluation: what was found out.

    Returns:
        Bins by title: before and after calibration, or as they are.
    """
    if evaluation.calibration is None:
        return {"uncalibrated": top_label_bins(evaluation.raw)}
    return {"before": top_label_bins(evaluation.raw), "after": top_label_bins(evaluation.predictions)}


def summary_table(evaluation: Evaluation) -> Table:
    """The table that an evaluation prints.

    Args:
        evaluation: what was found out.

    Returns:
        A rich table: one row per class, the averages below.
    """
    metrics = evaluation.metrics
    patients = "" if metrics["patients"] is None else f" of {metrics['patients']} patients"
    table = Table(
        title=f"{metrics['images']} images{patients}",
        caption="In brackets: 95 % intervals from resampling patients. Macro F1 is over the classes present.",
    )
    table.add_column("Class")
    for heading in ("Precision", "Recall", "F1", "Images"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in metrics["per_class"].items():
        numbers = (format_value(row[key]) for key in ("precision", "recall", "f1"))
        table.add_row(name, *numbers, str(row["support"]))
    table.add_section()
    for key, label in SUMMARY.items():
        table.add_row(label, "", "", format_interval(evaluation.intervals.overall[key]), "")
    return table


def format_value(value: float | None) -> str:
    """A number as tables show it.

    Args:
        value: the number, None where undefined.

    Returns:
        Three decimals, or the word "undefined".
    """
    return "undefined" if value is None else f"{value:.3f}"


def format_interval(interval: Interval) -> str:
    """A value and its interval as tables show them.

    Args:
        interval: the value.

    Returns:
        For instance "0.912 (0.880 to 0.941)", or the value alone where there is no interval.

    Example:
        >>> format_interval(Interval(0.9119, 0.88, 0.941)), format_interval(Interval(None))
        ('0.912 (0.880 to 0.941)', 'undefined')
    """
    ends = "" if interval.low is None or interval.high is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return format_value(interval.value) + ends


def _per_class(evaluation: Evaluation) -> pd.DataFrame:
    table = per_class_table(evaluation.predictions)
    for name in PER_CLASS:
        intervals = evaluation.intervals.per_class[name]
        table[name] = [intervals[class_name].value for class_name in table.index]
        table[f"{name}_low"] = [intervals[class_name].low for class_name in table.index]
        table[f"{name}_high"] = [intervals[class_name].high for class_name in table.index]
    return table.astype(dict.fromkeys((c for c in table.columns if c != "support"), float))
