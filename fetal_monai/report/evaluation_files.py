"""The files that an evaluation leaves behind: tables, metrics, pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from fetal_monai.metrics.calibration_error import top_label_bins
from fetal_monai.metrics.classification import confusion_counts, per_class_table
from fetal_monai.metrics.weighted import PER_CLASS
from fetal_monai.report.confusion import confusion_figure, write_figure
from fetal_monai.report.evaluation import Evaluation
from fetal_monai.report.reliability import reliability_figure
from fetal_monai.utils.files import atomic_path, write_json


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


def _per_class(evaluation: Evaluation) -> pd.DataFrame:
    table = per_class_table(evaluation.predictions)
    for name in PER_CLASS:
        intervals = evaluation.intervals.per_class[name]
        table[name] = [intervals[class_name].value for class_name in table.index]
        table[f"{name}_low"] = [intervals[class_name].low for class_name in table.index]
        table[f"{name}_high"] = [intervals[class_name].high for class_name in table.index]
    return table.astype(dict.fromkeys((c for c in table.columns if c != "support"), float))
