"""The short table that an evaluation prints, and numbers as all tables show them."""

from __future__ import annotations

from rich.table import Table

from fetal_monai.metrics.bootstrap import Interval
from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON
from fetal_monai.report.evaluation import Evaluation

MACRO_F1_OF_COMMON_LABEL = f"Macro F1, classes of {ENOUGH_IMAGES}+ images"
SUMMARY = {
    "macro_f1": "Macro F1",
    MACRO_F1_OF_COMMON: MACRO_F1_OF_COMMON_LABEL,
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "ECE",
}


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
    return "undefined" if value is None else f"{round(value, 3) + 0:.3f}"  # + 0: never -0.000


def format_interval(interval: Interval) -> str:
    """A value and its interval as tables show them.

    Args:
        interval: the value.

    Returns:
        For instance "0.912 (0.880 to 0.941)", or the value alone where there is no interval.

    Example:
        >>> [format_interval(one) for one in (Interval(0.9119, 0.88, 0.941), Interval(None), Interval(-0.0))]
        ['0.912 (0.880 to 0.941)', 'undefined', '0.000']
    """
    if interval.low is None or interval.high is None:
        return format_value(interval.value)
    return f"{format_value(interval.value)} ({format_value(interval.low)} to {format_value(interval.high)})"
