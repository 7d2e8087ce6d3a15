"""What can be wrong with a table of predictions: every problem in words, with its row, its cause and its remedy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN_LABEL = -1
SUM_TOLERANCE = 1e-4  # float32 softmax over some dozens of classes stays well inside, a forgotten softmax does not


def shape_problems(
    class_names: Sequence[str],
    uids: NDArray[np.str_],
    probabilities: NDArray[np.float64],
    columns: dict[str, NDArray[Any] | None],
    reserved: Collection[str],
) -> list[str]:
    """Find names that are no class list, and arrays that do not belong together.

    Args:
        class_names: the C classes.
        uids: (N,) the images.
        probabilities: what should be (N, C).
        columns: what should be (N,) each, by name; None where it is not there.
        reserved: names that no class may have.

    Returns:
        A line for each problem.

    Example:
        >>> shape_problems(["a", "b"], np.array(["1.2"]), np.ones((1, 2)) / 2, {"labels": np.array([0, 1])}, [])
        ['labels have shape (2,), but there are 1 images']
    """
    count = len(uids) if uids.ndim == 1 else -1
    problems = []
    if len(class_names) < 2 or len(set(class_names)) != len(class_names) or not all(class_names):
        problems.append(f"class names must be two or more, distinct and not empty, but are {list(class_names)}")
    taken = sorted(set(class_names) & set(reserved))
    if taken:
        problems.append(f"class names {taken} are names of other columns; rename the classes")
    if count == 0:
        problems.append("no images; check that the split is not empty")
    if probabilities.shape != (count, len(class_names)):
        problems.append(
            f"probabilities have shape {probabilities.shape}, not one row for each of {count} images and one column "
            f"for each of {len(class_names)} classes; use the class list that the network was trained with"
        )
    problems += [
        f"{name} have shape {column.shape}, but there are {count} images"
        for name, column in columns.items()
        if column is not None and column.shape != (count,)
    ]
    return problems


def value_problems(
    uids: NDArray[np.str_],
    frames: NDArray[np.int64],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> list[str]:
    """Find values that no prediction has, and images that are there twice.

    Args:
        uids: (N,) of the images.
        frames: (N,) of the images.
        labels: (N,) class index, -1 where it is unknown.
        probabilities: (N, C).

    Returns:
        A line for each problem.

    Example:
        >>> value_problems(np.array(["1.2"]), np.array([-1]), np.array([0]), np.array([[0.5, 0.6]]))
        ['row 1 (1.2, frame -1): probabilities sum to 1.1, not 1; apply softmax over the classes']
    """

    def row(index: int | np.signedinteger[Any]) -> str:
        return f"row {index + 1} ({uids[index]}, frame {frames[index]})"

    with np.errstate(invalid="ignore"):
        sums = probabilities.sum(axis=1)
    classes = probabilities.shape[1]
    finite = np.isfinite(probabilities).all(axis=1)
    outside = finite & ((probabilities < 0) | (probabilities > 1 + SUM_TOLERANCE)).any(axis=1)
    off = finite & ~outside & (np.abs(sums - 1) > SUM_TOLERANCE)
    unknown = (labels < UNKNOWN_LABEL) | (labels >= classes)
    problems = [f"{row(i)}: a probability is NaN or infinite; look at that image" for i in np.flatnonzero(~finite)]
    problems += [
        f"{row(i)}: a probability is outside [0, 1]; apply softmax to logits first" for i in np.flatnonzero(outside)
    ]
    problems += [
        f"{row(i)}: probabilities sum to {sums[i]:.6g}, not 1; apply softmax over the classes"
        for i in np.flatnonzero(off)
    ]
    problems += [
        f"{row(i)}: label {labels[i]} is outside the class list (0 to {classes - 1}, -1 if unknown)"
        for i in np.flatnonzero(unknown)
    ]
    seen: dict[tuple[str, int], int] = {}
    for index, image in enumerate(zip(uids.tolist(), frames.tolist(), strict=True)):
        first = seen.setdefault(image, index)
        if first != index:
            problems.append(f"{row(index)}: the same image as row {first + 1}; predict each image once")
    return problems
