"""report.html: one file that needs nothing else, to be looked at, printed, sent and kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.metrics.classification import MACRO_F1_OF_COMMON, confusion_counts
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.selective import risk_coverage
from fetal_monai.metrics.weighted import OVERALL
from fetal_monai.report.curves import interval_figure, risk_coverage_figure
from fetal_monai.report.evaluation import Evaluation
from fetal_monai.report.evaluation_files import reliability_diagrams
from fetal_monai.report.gallery import ExplainedError
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import data_uri, read_frame, themed_svg, thumbnail
from fetal_monai.report.reliability import reliability_figure
from fetal_monai.report.summary import MACRO_F1_OF_COMMON_LABEL, format_interval, format_value

PER_CELL = 12  # images shown of one cell of the confusion matrix
MOST_IMAGES = 400  # in the whole report, which keeps it below about 5 MB
HEAT_STEPS = 10
LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    MACRO_F1_OF_COMMON: MACRO_F1_OF_COMMON_LABEL,
    "top2_accuracy": "Top-2 accuracy",
    "cohen_kappa": "Cohen's kappa",
    "macro_roc_auc": "Macro ROC AUC",
    "macro_average_precision": "Macro average precision",
    "ece": "Calibration error (ECE)",
    "brier": "Brier score (0 to 2)",
    "nll": "Negative log-likelihood",
}
CALIBRATION_LABELS = {
    "ece": "ECE",
    "classwise_ece": "Class-wise ECE",
    "brier": "Brier score",
    "nll": "Negative log-likelihood",
}


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """Facts under a heading, and perhaps a figure.

    Args:
        title: the heading.
        facts: term and description, in order; shown as text, whatever is in them.
        figure: a matplotlib figure, drawn into the page in the colours of its theme.
        description: what the figure shows, for people who do not see it; needed with a figure.

    Example:
        >>> Section("Sites", [("Images from site A", "120")]).title
        'Sites'
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    figure: Figure | None = None
    description: str = ""


SectionMaker = Callable[[Evaluation], Section]
"""Makes a section of one's own for the report: a function of the evaluation, or an object that is called with it."""


def write_report(
    evaluation: Evaluation,
    path: str | os.PathLike[str],
    *,
    frames: Mapping[tuple[str, int], FrameRef] | None = None,
    errors: Sequence[ExplainedError] = (),
    sections: Sequence[SectionMaker] = (),
    model_card: Sequence[Section] = (),
    title: str = "Evaluation",
) -> Path:
    """Write the report, whole or not at all.

    Args:
        evaluation: what was found out.
        path: the .html file.
        frames: where each image can be read; without it the report has no pictures of them.
        errors: the most confident errors, with their explanations.
        sections: of one's own; one that fails is reported in its place and logged, and costs nobody the rest.
        model_card: what is known of the model and its data.
        title: of the page.

    Returns:
        The path.

    Raises:
        DicomReadError: if an image can no longer be read.
    """
    table = evaluation.predictions
    counts = confusion_counts(table)
    shown = _images_of_cells(table) if frames else {}
    return write_page(
        "report.html",
        path,
        title=title,
        value=format_value,
        interval=format_interval,
        metrics=evaluation.metrics,
        labels=LABELS,
        calibration_labels=CALIBRATION_LABELS,
        summary=[(name, LABELS[name], evaluation.intervals.overall[name]) for name in OVERALL],
        per_class=_per_class_rows(evaluation),
        names=table.class_names,
        confusion=_confusion_rows(table, counts),
        cells=_cells(table, shown, frames or {}),
        has_images=bool(frames),
        heat=[_heat(step / HEAT_STEPS) for step in range(HEAT_STEPS + 1)],
        figures=_figures(evaluation),
        conformal=evaluation.metrics["conformal_sets"],
        errors=errors,
        sections=[_own_section(make, evaluation, index) for index, make in enumerate(sections)],
        model_card=model_card,
    )


def _own_section(make: SectionMaker, evaluation: Evaluation, index: int) -> dict[str, Any]:
    """A section of a user's own, ready for the page, or why it is not there."""
    try:
        section = make(evaluation)
        if section.figure is None:
            return {"title": section.title, "facts": list(section.facts), "figure": None}
        # Safe: SVG that matplotlib wrote, with all text escaped by it and by themed_svg.
        figure = Markup(themed_svg(section.figure, f"own-{index}", section.description))  # noqa: S704
        return {"title": section.title, "facts": list(section.facts), "figure": figure}
    except Exception as error:  # code of others; an evaluation may have taken hours
        name = getattr(make, "__qualname__", type(make).__qualname__)
        logger.warning("the report section %s failed and is left out", name, exc_info=error)
        why = f"{type(error).__name__}: {error}; it has to return a fetal_monai.report.html.Section"
        return {"title": name, "facts": [("Not shown, because it failed", why)], "figure": None}


def _figures(evaluation: Evaluation) -> dict[str, Markup]:
    table, metrics = evaluation.predictions, evaluation.metrics
    curve = risk_coverage(table.confidence, table.predicted == table.labels)
    described = {
        "reliability": (
            reliability_figure(reliability_diagrams(evaluation)),
            f"Reliability diagram; ECE {metrics['calibration']['before']['ece']:.3f} before calibration.",
        ),
        "risk": (
            risk_coverage_figure(curve, evaluation.abstention),
            f"Error rate against the share of images kept; the area under the curve is {curve.area:.4f}.",
        ),
        "recall": (
            interval_figure(evaluation.intervals, "recall", "Recall with 95 % interval"),
            "Recall of each class with its interval; the table of classes holds the numbers.",
        ),
    }
    # Safe: SVG that matplotlib wrote, with all text escaped by it and by themed_svg.
    return {name: Markup(themed_svg(figure, name, text)) for name, (figure, text) in described.items()}  # noqa: S704


def _per_class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    names = ("precision", "recall", "f1", "roc_auc", "average_precision")
    rows = []
    for name, row in evaluation.metrics["per_class"].items():
        intervals = {metric: evaluation.intervals.per_class[metric][name] for metric in names}
        rows.append({"name": name, "support": row["support"], "intervals": intervals})
    return rows


def _confusion_rows(table: Predictions, counts: np.ndarray[Any, np.dtype[np.int64]]) -> list[dict[str, Any]]:
    rows = []
    for true, name in enumerate(table.class_names):
        total = int(counts[true].sum())
        cells = []
        for predicted, other in enumerate(table.class_names):
            count = int(counts[true, predicted])
            share = count / total if total else 0.0
            outcome = "recognised" if true == predicted else f"taken for {other}"
            cells.append(
                {
                    "id": f"{true}-{predicted}",
                    "count": count,
                    "percent": "<1%" if 0 < share < 0.01 else f"{share:.0%}",
                    "step": int(np.ceil(share * HEAT_STEPS)),
                    "label": f"{name} {outcome}: {count} of {total}",
                }
            )
        rows.append({"name": name, "total": total, "cells": cells})
    return rows


def _images_of_cells(table: Predictions) -> dict[str, list[int]]:
    """The most confident images of each cell, errors before right answers when room is short."""
    order = np.lexsort((-table.confidence, table.predicted == table.labels))
    cells: dict[str, list[int]] = {}
    taken = 0
    for row in order.tolist():
        cell = cells.setdefault(f"{table.labels[row]}-{table.predicted[row]}", [])
        if len(cell) < PER_CELL and taken < MOST_IMAGES:
            cell.append(row)
            taken += 1
    return cells


def _cells(
    table: Predictions, shown: Mapping[str, Sequence[int]], frames: Mapping[tuple[str, int], FrameRef]
) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for cell, rows in shown.items():
        true, predicted = (table.class_names[int(index)] for index in cell.split("-"))
        images = []
        for row in rows:
            key = table.keys[row]
            if key in frames:
                picture = data_uri(thumbnail(read_frame(frames[key])))
                images.append({"src": picture, "confidence": f"{table.confidence[row]:.0%}", "name": _name(key)})
        cells[cell] = {"true": true, "predicted": predicted, "images": images}
    return cells


def _name(key: tuple[str, int]) -> str:
    uid, frame = key
    return uid if frame < 0 else f"{uid}, frame {frame}"


def _heat(share: float) -> dict[str, str]:
    """Background and text of a cell in both themes; each pair has a contrast of 4.5 or more (tested)."""
    light = _mix((255, 255, 255), (8, 69, 148), share)
    dark = _mix((24, 28, 36), (158, 202, 255), share)
    return {
        "light": _hex(light),
        "light_text": "#ffffff" if luminance(light) < 0.18 else "#000000",
        "dark": _hex(dark),
        "dark_text": "#ffffff" if luminance(dark) < 0.18 else "#000000",
    }


def _mix(start: Sequence[int], end: Sequence[int], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(start, end, strict=True))


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def luminance(colour: Sequence[int]) -> float:
    """Relative luminance after WCAG 2.

    Args:
        colour: red, green, blue, 0 to 255.

    Returns:
        0 (black) to 1 (white).

    Example:
        >>> luminance((255, 255, 255)), luminance((0, 0, 0))
        (1.0, 0.0)
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return round(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], 9)
