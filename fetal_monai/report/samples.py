"""A sheet of images with what they are and what the model took them for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fetal_monai.report.pictures import literal

COLUMNS = 4
RIGHT, WRONG = "#00664b", "#b03a00"  # told apart by colour-blind readers too, and by the words beside them


def samples_figure(images: Sequence[NDArray[np.uint8]], captions: Sequence[tuple[str, str, float]]) -> Figure:
    """Draw images in rows of four, each with its true class, its predicted class and the probability of that.

    Args:
        images: (H, W, 3) uint8 RGB each.
        captions: (true class, predicted class, probability in [0, 1]) of each.

    Returns:
        A matplotlib figure that belongs to no window.

    Example:
        >>> figure = samples_figure([np.zeros((8, 8, 3), np.uint8)], [("Femur", "Other", 0.8)])
        >>> print(figure.axes[0].get_title())
        WRONG: Other 80%
        is: Femur
    """
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, (true, predicted, probability) in zip(axes.flat, images, captions, strict=False):
        axis.imshow(image)
        right = true == predicted
        text = f"right: {true} {probability:.0%}" if right else f"WRONG: {predicted} {probability:.0%}\nis: {true}"
        lines = [line for part in text.split("\n") for line in textwrap.wrap(part, 36)]
        axis.set_title(literal("\n".join(lines)), fontsize=9, color=RIGHT if right else WRONG)
    return figure
