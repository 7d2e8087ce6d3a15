"""Probabilities of the classes in the table of labels: columns `p:Femur`, `p:Stomach`, ... for a training to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fetal_monai.data.row_problems import Problem, class_problem

SOFT_LABEL = "soft_label"
"""The key of the probabilities in a data list."""
PREFIX = "p:"
_ROUNDING = 0.005 + 1e-9  # what writing two digits may cost each number of a row
_TIE = 1e-5


def soft_columns(table: pd.DataFrame) -> dict[str, str]:
    """Find the columns of probabilities.

    Args:
        table: of `read_annotations`.

    Returns:
        Class to column; empty where the table has hard labels only.

    Example:
        >>> soft_columns(pd.DataFrame(columns=["class", "p:Femur", "p: Other"]))
        {'Femur': 'p:Femur', 'Other': 'p: Other'}
    """
    names = [str(name) for name in table.columns]
    return {name.removeprefix(PREFIX).strip(): name for name in names if name.startswith(PREFIX)}


def soft_label_problems(table: pd.DataFrame, class_names: Sequence[str] | None = None) -> list[Problem]:
    """Check the columns of probabilities: their classes, numbers and sums, and that `class` is a most probable one.

    Args:
        table: of `read_annotations`.
        class_names: the classes in order; without them the names of the columns are not checked.

    Returns:
        All problems; row 1 is the header.
    """
    columns = soft_columns(table)
    problems: list[Problem] = []
    for name, column in columns.items():
        if class_names is not None and name not in class_names:
            problems.append((1, f"column '{column}': {class_problem(name, class_names)}"))
    records = table.to_dict("records") if columns else []
    return problems + [(record["row"], text) for record in records if (text := _row_problem(record, columns))]


def soft_label(
    record: Mapping[Any, Any], columns: Mapping[str, str], class_names: Sequence[str]
) -> NDArray[np.float32]:
    """Read the probabilities of a row that has no problem; a row without any is sure of its class.

    Args:
        record: the row.
        columns: of `soft_columns`; a class without a column has probability 0.
        class_names: the classes in order.

    Returns:
        (C,) float32, which sum to 1.

    Example:
        >>> columns = {"Femur": "p:Femur", "Other": "p:Other"}
        >>> soft_label({"class": "Femur", "p:Femur": "0.75", "p:Other": "0.25"}, columns, ["Femur", "Cervix", "Other"])
        array([0.75, 0.  , 0.25], dtype=float32)
        >>> soft_label({"class": "Cervix", "p:Femur": "", "p:Other": ""}, columns, ["Femur", "Cervix", "Other"])
        array([0., 1., 0.], dtype=float32)
    """
    given = {name: float(record[column] or 0) for name, column in columns.items()}
    if not any(given.values()):
        given = {record["class"]: 1.0}
    found = np.array([given.get(name, 0.0) for name in class_names])
    return np.asarray(found / found.sum(), dtype=np.float32)


def _row_problem(record: Mapping[Any, Any], columns: Mapping[str, str]) -> str | None:
    texts = {name: str(record[column]) for name, column in columns.items() if record[column] != ""}
    if not texts:
        return None
    numbers = {name: _probability(text) for name, text in texts.items()}
    for name, number in numbers.items():
        if number is None:
            hint = f"; write {texts[name].replace(',', '.')}" if "," in texts[name] else "; write one from 0 to 1"
            return f"'{texts[name]}' in column '{columns[name]}' is no probability{hint}"
    known = {name: number for name, number in numbers.items() if number is not None}
    total = sum(known.values())
    if abs(total - 1) > _ROUNDING * len(known):
        return f"the probabilities sum to {total:g}; make them sum to 1, or leave all of them empty"
    likely = max(known, key=lambda name: known[name])
    own = known.get(record["class"], 0.0)
    if own < known[likely] - _TIE:
        return (
            f"class '{record['class']}' has probability {own:g} and '{likely}' {known[likely]:g}; "
            "correct one of the two, or leave all probabilities empty to be sure of the class"
        )
    return None


def _probability(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= 1 else None
