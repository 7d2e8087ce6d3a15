"""Experts who err as they are told to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fetal_monai.data.consensus import Votes


def confusion(classes: int, accuracy: float, *, systematic: bool = True) -> np.ndarray:
    """(C, C): right with that probability; wrong mostly with the next class, or with any."""
    matrix = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    if systematic:
        following = np.roll(np.eye(classes), 1, axis=1)
        matrix = (1 - accuracy) * (0.8 * following + 0.2 * np.roll(following, 1, axis=1))
    np.fill_diagonal(matrix, accuracy)
    return matrix


def simulate(matrices: list[np.ndarray], images: int, seed: int, prior: list[float] | None = None):
    """The votes of an expert for each matrix, and the true classes."""
    rng = np.random.default_rng(seed)
    classes = len(matrices[0])
    truth = rng.choice(classes, images, p=prior)
    tables = [
        pd.DataFrame(
            {
                "image": range(images),
                "expert": f"e{number}",
                "label": [rng.choice(classes, p=m[true]) for true in truth],
            }
        )
        for number, m in enumerate(matrices)
    ]
    table = pd.concat(tables).sort_values(["image", "expert"], ignore_index=True)
    return as_votes(table, classes), truth


def as_votes(table: pd.DataFrame, classes: int) -> Votes:
    """Of a table of image, expert and label; the classes are called c0, c1, ..."""
    images = pd.DataFrame({"SOPInstanceUID": [f"1.2.{n}" for n in range(table["image"].max() + 1)], "frame": "-1"})
    return Votes({f"c{number}": number for number in range(classes)}, images, table)
