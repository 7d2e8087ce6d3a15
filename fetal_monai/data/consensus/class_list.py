"""The classes of the experts' tables and their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fetal_monai.data.row_problems import class_problem
from fetal_monai.errors import InputError

_REMEDY = "make them one, or give the classes with --config"


def class_list(table: pd.DataFrame, class_names: Sequence[str] | None = None) -> tuple[dict[str, int], list[str]]:
    """Find the classes in order, and hold the votes to them.

    Args:
        table: with `class`, `class_int` ("" where it is not told), `file` and `row`.
        class_names: the classes in order; without them the tables' own, in the order of their numbers, or of their
            names where there are none.

    Returns:
        Class to number, and notes for the reader.

    Raises:
        InputError: with every class that is unknown, spelt in two ways, or has two numbers.

    Example:
        >>> table = pd.DataFrame({"class": ["Spine", "Femur"], "class_int": ["9", "0"], "file": "a.csv", "row": [2, 3]})
        >>> class_list(table)
        ({'Femur': 0, 'Spine': 9}, [])
    """
    if class_names is not None:
        unknown = table[~table["class"].isin(list(class_names))]
        problems = [
            f"{file}, row {row}: {class_problem(name, class_names)}"
            for file, row, name in unknown[["file", "row", "class"]].itertuples(index=False)
        ]
        if problems:
            raise InputError("consensus", problems)
        return {name: number for number, name in enumerate(class_names)}, []
    return _own_classes(table)


def _own_classes(table: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    names = sorted(table["class"].unique())
    problems = []
    spelling: dict[str, str] = {}
    for name in names:
        other = spelling.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            problems.append(f"classes '{other}' and '{name}' differ in spelling only; {_REMEDY}")
    numbered = table[table["class_int"] != ""]
    numbers: dict[str, int] = {}
    owner: dict[int, str] = {}
    for name in sorted(set(numbered["class"])):
        given = numbered[numbered["class"] == name].drop_duplicates("class_int")
        places = [f"{n} ({f}, row {r})" for n, f, r in given[["class_int", "file", "row"]].itertuples(index=False)]
        number = str(given["class_int"].iloc[0])
        if len(given) > 1:
            problems.append(f"class '{name}' has the numbers {', '.join(places)}; {_REMEDY}")
        elif not (number.isascii() and number.isdigit()):
            problems.append(f"class_int {places[0]} of class '{name}' is no number from 0 on; {_REMEDY}")
        else:
            other = owner.setdefault(int(number), name)
            if other != name:
                problems.append(f"classes '{other}' and '{name}' both have the number {number}; {_REMEDY}")
            numbers[name] = int(number)
    lacking = [name for name in names if numbers and name not in numbers]
    problems += [f"class '{name}' has no class_int, and others have; {_REMEDY}" for name in lacking]
    if problems:
        raise InputError("consensus", problems)
    if not numbers:
        note = "no table has class_int: classes are numbered by their names; --config gives the list of a training"
        return {name: number for number, name in enumerate(names)}, [note]
    return dict(sorted(numbers.items(), key=lambda item: item[1])), []
