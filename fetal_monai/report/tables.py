"""The files that an evaluation leaves behind, and the short table that it prints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from fetal_monai.files import atomic_path
from fetal_monai.metrics.classification import classification_metrics, confusion_counts, per_class_table
from fetal_monai.metrics.predictions import Predictions
from fetal_monai.report.confusion import confusion_figure, write_figure


def write_json(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write strict JSON (no NaN), whole or not at all.

    Args:
        content: what to write.
        path: the file.

    Raises:
        ValueError: if a value is NaN or infinite: undefined values are None.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def write_evaluation(predictions: Predictions, output_dir: str | os.PathLike[str]) -> dict[str, Path]:
    """Write predictions.csv, and for the labelled images metrics.json, per_class.csv and confusion_matrix.png.

    Args:
        predictions: images with probabilities and labels.
        output_dir: the folder; made if missing.

    Returns:
        The path of each file by its name without suffix.

    Raises:
        InputError: if no label is known.
    """
    metrics = classification_metrics(predictions)
    folder = Path(output_dir)
    names = ("predictions.csv", "metrics.json", "per_class.csv", "confusion_matrix.png")
    paths = {Path(name).stem: folder / name for name in names}
    predictions.write_csv(paths["predictions"])
    write_json(metrics, paths["metrics"])
    with atomic_path(paths["per_class"]) as temporary:
        per_class_table(predictions).to_csv(temporary, float_format="%.6f")
    figure = confusion_figure(
        confusion_counts(predictions),
        predictions.class_names,
        f"{metrics['images']} images: macro F1 {metrics['macro_f1']:.3f}, accuracy {metrics['accuracy']:.3f}",
    )
    write_figure(figure, paths["confusion_matrix"])
    return paths


def summary_table(metrics: Mapping[str, Any]) -> Table:
    """The table that an evaluation prints.

    Args:
        metrics: what `classification_metrics` returned.

    Returns:
        A rich table: one row per class, the averages below.
    """
    patients = "" if metrics["patients"] is None else f" of {metrics['patients']} patients"
    table = Table(title=f"{metrics['images']} images{patients}", show_footer=False)
    table.add_column("Class")
    for heading in ("Precision", "Recall", "F1", "Images"):
        table.add_column(heading, justify="right")
    for name, row in metrics["per_class"].items():
        table.add_row(name, *(_number(row[key]) for key in ("precision", "recall", "f1")), str(row["support"]))
    table.add_section()
    table.add_row("Macro F1 (classes present)", "", "", _number(metrics["macro_f1"]), "")
    table.add_row("Accuracy = micro F1", "", "", _number(metrics["accuracy"]), "")
    return table


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
