"""Two evaluations on the same images, side by side."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from rich.table import Table

from fetal_monai.errors import InputError
from fetal_monai.metrics.compare import Comparison, compare
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.report.html import LABELS
from fetal_monai.report.summary import format_interval, format_value

PREDICTIONS_FILE = "predictions.csv"


def read_evaluation(path: str | PathLike[str]) -> Predictions:
    """Read the predictions of an evaluation.

    Args:
        path: the folder that an evaluation wrote, or a predictions.csv.

    Returns:
        The checked table.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(place, ["there is no such evaluation; give a folder with predictions.csv, or such a file"])
    return Predictions.read_csv(place / PREDICTIONS_FILE if place.is_dir() else place)


def compare_evaluations(
    a: str | PathLike[str], b: str | PathLike[str], *, replicates: int = 1000, seed: int = 0
) -> Comparison:
    """Compare two evaluations on the same images.

    Args:
        a: folder or predictions.csv of the first.
        b: of the second.
        replicates: of the bootstrap.
        seed: of the resampling.

    Returns:
        The comparison.

    Raises:
        InputError: if one is missing or damaged, or they are about different images, labels, patients or classes.
    """
    return compare(read_evaluation(a), read_evaluation(b), replicates=replicates, seed=seed)


def comparison_table(comparison: Comparison) -> Table:
    """The table that `fetal-monai compare` prints.

    Args:
        comparison: what was found out.

    Returns:
        A rich table: a row per metric; a star where the interval of the difference leaves out zero.
    """
    patients = "unknown patients" if comparison.patients is None else f"{comparison.patients} patients"
    p_value = "p < 0.0001" if comparison.mcnemar_p < 0.0001 else f"p = {comparison.mcnemar_p:.4f}"
    table = Table(
        title=f"{comparison.images} images of {patients}",
        caption=f"In brackets: 95 % intervals of B - A, patients resampled in pairs; *: zero is outside.\n"
        f"Right in A alone: {comparison.only_a_right}, in B alone: {comparison.only_b_right}; McNemar {p_value}.",
    )
    table.add_column("Metric")
    for heading in ("A", "B", "B - A"):
        table.add_column(heading, justify="right")
    for name, label in LABELS.items():
        change = comparison.difference[name]
        clear = change.low is not None and change.high is not None and not change.low <= 0 <= change.high
        values = (format_value(side[name]) for side in (comparison.a, comparison.b))
        table.add_row(label, *values, format_interval(change) + ("*" if clear else ""))
    return table
