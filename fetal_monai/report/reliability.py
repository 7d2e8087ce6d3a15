"""Reliability diagrams: what the model said against what came true."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fetal_monai.metrics.calibration_error import ReliabilityBins


def reliability_figure(diagrams: Mapping[str, ReliabilityBins]) -> Figure:
    """Draw reliability diagrams side by side, with the number of images in each bin below.

    Args:
        diagrams: bins by title, for instance before and after calibration.

    Returns:
        A matplotlib figure that belongs to no window.

    Example:
        >>> from fetal_monai.metrics.calibration_error import reliability_bins
        >>> figure = reliability_figure({"before": reliability_bins([0.9, 0.6], [True, False])})
        >>> figure.axes[0].get_title()
        'before: ECE 0.350'
    """
    figure = Figure(figsize=(0.6 + 3.7 * len(diagrams), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(diagrams), squeeze=False, sharex=True, height_ratios=[4, 1])
    for column, (title, bins) in enumerate(diagrams.items()):
        upper, lower = axes[:, column]
        used = bins.counts > 0
        centres = (bins.edges[:-1] + bins.edges[1:]) / 2
        width = bins.edges[1] - bins.edges[0]
        upper.plot([0, 1], [0, 1], color="#808080", linestyle="--", linewidth=1, label="perfect")
        upper.bar(centres[used], bins.observed[used], width * 0.92, color="#56B4E9", label="observed")
        upper.plot(bins.stated[used], bins.observed[used], "D", color="#0B3C5D", markersize=5, label="mean stated")
        upper.set(title=f"{title}: ECE {bins.error:.3f}", xlim=(0, 1), ylim=(0, 1.02))
        upper.set_ylabel("Accuracy" if column == 0 else "")
        lower.bar(centres[used], bins.counts[used], width * 0.92, color="#808080")
        lower.set(xlabel="Stated probability", yticks=[0, int(np.max(bins.counts))])
        lower.set_ylabel("Images" if column == 0 else "")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure
