"""The rows of the table, with or without a list of classes to hold them to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fetal_monai.data.checks.finding import Finding, Level
from fetal_monai.data.row_problems import (
    SPLITS,
    Problem,
    empty_splits,
    label_problems,
    patients_in_two_splits,
    split_problems,
)
from fetal_monai.data.soft_labels import soft_label_problems


def table_findings(table: pd.DataFrame, class_names: Sequence[str] | None) -> list[Finding]:
    """Check the rows as a training does.

    Args:
        table: of `read_annotations`.
        class_names: the classes in order; without them the table is held to itself: one number a class.

    Returns:
        The findings.
    """
    if class_names is not None:
        problems = label_problems(table, class_names)
    else:
        problems = [*split_problems(table), *number_problems(table)]
    findings = as_findings("row", [*problems, *soft_label_problems(table, class_names)])
    if "patient_id" in table:
        findings += as_findings("patient", patients_in_two_splits(table))
        if nameless := [row for row, patient in zip(table["row"], table["patient_id"], strict=True) if not patient]:
            rows = "1 row" if len(nameless) == 1 else f"{len(nameless)} rows"
            text = f"patient_id is empty in {rows}, the first is row {nameless[0]}; name the patients"
            findings.append(Finding("warning", "patient", text, tuple(nameless)))
    else:
        text = "the table has no column patient_id; add it (`fetal-monai split --dicom` takes it from the files)"
        findings.append(Finding("warning", "patient", text))
    findings += as_findings("split", empty_splits(table, ("train", "val")))
    findings += as_findings("split", empty_splits(table, ("test",)), "warning")
    return findings


def as_findings(kind: str, problems: Sequence[Problem], level: Level = "error") -> list[Finding]:
    """Problems of rows as findings.

    Example:
        >>> as_findings("row", [(3, "frame '' is no frame number")])[0].text
        "row 3: frame '' is no frame number"
    """
    return [
        Finding(level, kind, f"row {row}: {text}" if row else text, (int(row),) if row else ())
        for row, text in problems
    ]


def number_problems(table: pd.DataFrame) -> list[Problem]:
    """Hold `class_int` to what most rows of the class say, and classes to having a number each.

    Args:
        table: of `read_annotations`.

    Returns:
        The rows that differ.
    """
    problems: list[Problem] = [(row, "class is empty; name it") for row in table.loc[table["class"] == "", "row"]]
    owner: dict[str, str] = {}
    named = table[table["class"] != ""]
    for name in named["class"].value_counts().index:  # the rarer of two is the one to be misspelt
        rows = named[named["class"] == name]
        counts = rows["class_int"].value_counts()
        usual = str(counts.index[0])
        for row, number in rows.loc[rows["class_int"] != usual, ["row", "class_int"]].itertuples(index=False):
            text = f"class_int {number!r} disagrees with class '{name}', which is {usual} in {counts.iloc[0]} rows"
            problems.append((row, f"{text}; correct one of the two"))
        if not usual.isdigit():
            problems.append((rows["row"].iloc[0], f"class_int {usual!r} is no number from 0 on; number the classes"))
        elif usual in owner:
            text = f"class '{name}' has the class_int {usual} of class '{owner[usual]}'; is one of them misspelt?"
            problems.append((rows["row"].iloc[0], text))
        owner.setdefault(usual, str(name))
    return problems


def absent_classes(counts: pd.DataFrame, class_names: Sequence[str] | None = None) -> list[Finding]:
    """Name the classes that a split lacks.

    Args:
        counts: of `split_counts`.
        class_names: the classes in order; names that are not among them are somebody's typing errors. None for all.

    Returns:
        An error for each class that nothing can be learnt of: a training refuses to weigh it. A warning for each that
        another split lacks. Splits that are empty altogether are left out.
    """
    used = [split for split in SPLITS if counts[split].to_dict()["images"] > 0]
    findings: list[Finding] = []
    images = counts.drop(index=["images", "patients"])
    names = [name for name in images.index if name] if class_names is None else class_names
    for name, row in images.reindex(pd.Index(names), fill_value=0).iterrows():
        lacking = [split for split in used if row[split] == 0]
        if lacking:
            remedy = "split again, or label more"
            level: Level = "warning"
            if "train" in lacking:
                level, remedy = "error", f"{remedy}, or take it from the list of classes"
            text = f"class '{name}' has no image in {' and '.join(lacking)} ({int(row.sum())} in all); {remedy}"
            findings.append(Finding(level, "absent_class", text))
    return findings
