"""Splits by patient: all images of a patient on one side, and of every class the shares that were asked for."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from fetal_monai.data.row_problems import SPLITS
from fetal_monai.errors import InputError

SHARES = (0.7, 0.15, 0.15)
_ABSENT = 4.0  # what a class costs that a split lacks and could have: more than any rounding of counts
_PASSES = 50


def assign_splits(table: pd.DataFrame, shares: Sequence[float] = SHARES, *, seed: int = 0) -> pd.DataFrame:
    """Give every patient a split; one who has a split keeps it.

    New patients go where they bring the images of each class nearest to the shares. So a table that has grown keeps
    its test set, and an empty column `split` gives everybody a new one. The order of the rows does not matter.

    Args:
        table: with text in `patient_id`, `class` and maybe `split` ("" where it is to be decided).
        shares: of train, val and test; their sum counts as all. A share of 0 assigns nobody.
        seed: the same seed gives the same splits.

    Returns:
        The table with `split` filled in.

    Raises:
        InputError: if a patient is in two splits already, a split is unknown, the shares make no sense, or there are
            fewer patients than splits.

    Example:
        >>> table = pd.DataFrame({"patient_id": list("AABBCCDD"), "class": ["Femur", "Other"] * 4})
        >>> table["split"] = ["test"] * 2 + [""] * 6
        >>> assign_splits(table, (0.5, 0.25, 0.25)).groupby("patient_id")["split"].first().to_dict()
        {'A': 'test', 'B': 'val', 'C': 'train', 'D': 'train'}
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not 0 < sum(shares) < np.inf or shares[0] == 0:
        raise InputError("shares", [f"{tuple(shares)} are no shares of {', '.join(SPLITS)}; give three, train above 0"])
    home = _present_splits(table)
    images = pd.crosstab(table["patient_id"], table["class"])  # in the order of their names
    fixed = np.array([SPLITS.index(home[patient]) if patient in home else -1 for patient in images.index])
    if np.sum(np.asarray(shares) > 0) > len(images):
        problem = f"{len(images)} patients cannot make {len(SPLITS)} splits; label more, or check patient_id"
        raise InputError("patient_id", [problem])
    found = _assign(images.to_numpy(), fixed, np.asarray(shares, float) / sum(shares), seed)
    by_patient = {patient: SPLITS[split] for patient, split in zip(images.index, found, strict=True)}
    return table.assign(split=table["patient_id"].map(by_patient))


def fold_tables(table: pd.DataFrame, folds: int, *, seed: int = 0) -> Iterator[pd.DataFrame]:
    """Cross-validate: each fold in turn as `test`, an eighth of the other patients as `val`, the rest as `train`.

    Args:
        table: with `patient_id`, `class` and maybe `split`; patients who are in test stay unseen and are left out.
        folds: how many, at least 2.
        seed: the same seed gives the same folds.

    Yields:
        The table of a fold.

    Raises:
        InputError: if a patient is in two splits already, a split is unknown, there are not so many patients, or no
            class has so many images.

    Example:
        >>> table = pd.DataFrame({"patient_id": list("AABCDE"), "class": "Femur", "split": ["test"] + [""] * 5})
        >>> [len(set(fold["patient_id"])) for fold in fold_tables(table, 2)]
        [4, 4]
    """
    home = _present_splits(table)
    known = table[[home.get(patient) != "test" for patient in table["patient_id"]]]
    most = most_parts(known["class"], known["patient_id"])
    if not 2 <= folds <= most:
        problem = f"{folds} folds are more than the {most} patients or images of the largest class; use fewer"
        raise InputError("folds", [problem])
    for rest, _ in patient_folds(folds, known["class"].to_numpy(), known["patient_id"].to_numpy(), seed=seed):
        yield train_on(rest, known, seed=seed)


def train_on(rows: NDArray[np.int64], table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Some rows for training, an eighth of their patients as `val`, all other rows as `test`.

    Args:
        rows: positions in the table.
        table: with `patient_id` and `class`.
        seed: of the choice of patients.

    Returns:
        The table with `split`.
    """
    labels, patients = table["class"].to_numpy()[rows], table["patient_id"].to_numpy()[rows]
    _, val = patient_folds(min(8, most_parts(labels, patients)), labels, patients, seed=seed)[0]
    split = np.full(len(table), "test", dtype=object)
    split[rows] = "train"
    split[rows[val]] = "val"
    return table.assign(split=split)


def most_parts(labels: Iterable[str], patients: Iterable[str]) -> int:
    """How many parts scikit-learn can cut: no more than there are patients, or images of the largest class.

    Example:
        >>> most_parts(["Femur", "Femur", "Other"], ["A", "B", "C"])
        2
    """
    return min(max(Counter(labels).values(), default=0), len(set(patients)))


def patient_folds(
    folds: int, labels: Sequence[str] | NDArray[np.object_], patients: Sequence[str] | NDArray[np.object_], *, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut images into folds by patient, stratified by class (scikit-learn's `StratifiedGroupKFold`).

    Args:
        folds: from 2 to `most_parts`.
        labels: of the images.
        patients: likewise.
        seed: the same seed gives the same folds.

    Returns:
        For each fold the positions of all others, and its own. That a class is rarer than the folds is no warning here:
        `rare_classes` names it.
    """
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(splitter.split(labels, labels, patients))


def split_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Count images and patients.

    Args:
        table: with `patient_id`, `class` and `split`.

    Returns:
        A row per class, in the order of `class_int` where that is a number, then `images` and `patients`; a column per
        split.
    """
    numbers = pd.to_numeric(table.get("class_int", pd.Series("", table.index)), errors="coerce")
    order = numbers.groupby(table["class"]).min().sort_values(kind="stable").index
    images = pd.crosstab(table["class"], table["split"]).reindex(index=order, columns=list(SPLITS), fill_value=0)
    patients = table.groupby("split")["patient_id"].nunique().reindex(SPLITS, fill_value=0)
    images.loc["images"], images.loc["patients"] = images.sum(), patients
    return images


def rare_classes(table: pd.DataFrame, parts: int) -> dict[str, int]:
    """The classes that cannot be in every part: name -> number of patients, where those are fewer than the parts.

    Example:
        >>> rare_classes(pd.DataFrame({"patient_id": list("AAB"), "class": ["Femur", "Spine", "Femur"]}), 2)
        {'Spine': 1}
    """
    patients = table.groupby("class")["patient_id"].nunique()
    return {str(name): int(number) for name, number in patients.items() if number < parts}


def require_patients(path: str | PathLike[str], table: pd.DataFrame, remedy: str) -> None:
    """Refuse a table whose index numbers its rows if one has no patient.

    Raises:
        InputError: with all such rows.
    """
    nameless = table.index[table["patient_id"] == ""] if "patient_id" in table else [1]
    if len(nameless):
        what = "patient_id is empty" if "patient_id" in table else "column 'patient_id' is missing"
        raise InputError(path, [f"row {row}: {what}; {remedy}" for row in nameless])


def _present_splits(table: pd.DataFrame) -> dict[str, str]:
    """The split of each patient who has one."""
    if "split" not in table:
        return {}
    decided = table[table["split"] != ""]
    unknown = sorted(set(decided["split"]) - set(SPLITS))
    problems = [f"'{name}' is unknown; use {', '.join(SPLITS)}, or leave it empty" for name in unknown]
    splits = decided.groupby("patient_id")["split"].unique()
    problems += [
        f"patient '{patient}' is in {' and '.join(names)}; correct it, or draw all splits anew"
        for patient, names in splits.items()
        if len(names) > 1
    ]
    if problems:
        raise InputError("split", problems)
    return {str(patient): names[0] for patient, names in splits.items()}


def _assign(images: NDArray[np.int64], fixed: NDArray[np.int64], shares: NDArray[np.float64], seed: int) -> list[int]:
    """The split of each patient: greedily, in a drawn order, then moved as long as a move helps.

    The cost of a split is chi-square: (images - wanted)^2 / wanted, over classes, all images, and patients.
    """
    patients = np.ones((len(images), 1))
    loads = np.hstack([images, images.sum(1, keepdims=True), patients])
    active = np.flatnonzero(shares > 0)
    counted = np.isin(fixed, [-1, *active])
    wanted = shares[active, None] * loads[counted].sum(0)
    could_be_everywhere = (loads[counted] > 0).sum(0) >= len(active)

    def cost(load: NDArray[np.float64], position: int) -> float:
        present = wanted[position] > 0
        deviation = (load - wanted[position])[present] ** 2 / wanted[position][present]
        return float(deviation.sum() + _ABSENT * np.sum(could_be_everywhere & (load == 0)))

    found = fixed.copy()
    total = np.stack([loads[fixed == split].sum(0) for split in active])
    order = np.random.default_rng(seed).permutation(np.flatnonzero(fixed == -1))
    for _ in range(_PASSES):
        moved = False
        for patient in order:
            before = np.flatnonzero(active == found[patient])
            total[before] -= loads[patient]
            changes = [
                cost(total[position] + loads[patient], position) - cost(total[position], position)
                for position in range(len(active))
            ]
            best = int(np.argmin(changes))
            if len(before) and changes[best] > changes[before[0]] - 1e-9:
                best = int(before[0])  # a move has to help, or this would never end
            moved |= found[patient] != active[best]
            found[patient] = active[best]
            total[best] += loads[patient]
        if not moved:
            break
    return [int(split) for split in found]
