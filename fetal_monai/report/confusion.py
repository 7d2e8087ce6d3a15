"""The confusion matrix as a picture that can be read."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fetal_monai.report.pictures import literal
from fetal_monai.utils.files import atomic_path


def confusion_figure(matrix: ArrayLike, class_names: Sequence[str], title: str = "Confusion matrix") -> Figure:
    r"""Draw a row-normalised confusion matrix with the percentage and the count in each cell.

    Args:
        matrix: (C, C) counts; rows are true classes, columns predicted ones.
        class_names: the C names, which are both axes' labels.
        title: written above.

    Returns:
        A matplotlib figure that belongs to no window; TensorBoard's `add_figure` takes it.

    Raises:
        ValueError: if the matrix is not C x C.

    Example:
        >>> figure = confusion_figure([[3, 1], [0, 2]], ["Femur", "Other"])
        >>> [text.get_text() for text in figure.axes[0].texts][:2]
        ['75%\n3', '25%\n1']
    """
    counts = np.asarray(matrix)
    size = len(class_names)
    if counts.shape != (size, size):
        raise ValueError(f"a confusion matrix of {size} classes is {size} x {size}, not {counts.shape}")
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = [literal("\n".join(textwrap.wrap(name, 24))) for name in class_names]
    side = max(5.0, 2.6 + 0.62 * size)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                f"{_percent(share[row, column])}\n{count}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share[row, column] > 0.55 else "black",
            )
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    labels = [f"{name}\n(n = {int(total)})" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(size), labels, fontsize=9)
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set(xlabel="Predicted class", ylabel="True class", title=title)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels(["0%", "25%", "50%", "75%", "100%"], fontsize=8)
    bar.set_label("Share of the true class's images", fontsize=9)
    return figure


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def write_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 130) -> None:
    """Save a figure, whole or not at all.

    Args:
        figure: what to save.
        path: where; the suffix chooses the format.
        dpi: dots per inch.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
