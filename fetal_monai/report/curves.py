"""Curves and intervals as pictures."""

from __future__ import annotations

import textwrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fetal_monai.metrics.bootstrap import Intervals
from fetal_monai.metrics.selective import Abstention, RiskCoverage
from fetal_monai.report.pictures import literal

LINE, BAR, FAINT = "#0B3C5D", "#56B4E9", "#808080"


def risk_coverage_figure(curve: RiskCoverage, abstention: Abstention | None = None) -> Figure:
    """Draw the error rate among the images kept against the share kept.

    Args:
        curve: of the test images.
        abstention: the promise made on the validation images, drawn as a level.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.step(curve.coverage, curve.risk, color=LINE, where="post")
    axes.fill_between(curve.coverage, curve.risk, step="post", color=BAR, alpha=0.35, linewidth=0)
    if abstention is not None:
        axes.axhline(abstention.risk, color=FAINT, linestyle="--", linewidth=1)
        axes.text(0.01, abstention.risk, f"chosen risk {abstention.risk:.0%}", va="bottom", fontsize=8)
    top = max(0.05, float(curve.risk.max()), 0 if abstention is None else abstention.risk) * 1.15
    axes.set(xlim=(0, 1), ylim=(0, top), xlabel="Share of images kept", ylabel="Error rate among them")
    axes.set_title(f"AURC {curve.area:.4f}; best possible ranking {curve.best_area:.4f}", fontsize=10)
    return figure


def interval_figure(intervals: Intervals, metric: str, label: str) -> Figure:
    """Draw one metric of every class with its interval.

    Args:
        intervals: of an evaluation.
        metric: one of `weighted.PER_CLASS`.
        label: what the axis says.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    rows = intervals.per_class[metric]
    figure = Figure(figsize=(6.0, 1.0 + 0.34 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for position, interval in enumerate(rows.values()):
        if interval.value is None:
            axes.text(0.01, position, "undefined", va="center", fontsize=8)
            continue
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [position] * 2, color=BAR, linewidth=5, solid_capstyle="butt")
        axes.plot(interval.value, position, "D", color=LINE, markersize=5)
    names = [literal(textwrap.shorten(name, 44, placeholder=" ...")) for name in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=9)
    axes.set(xlim=(-0.02, 1.02), xlabel=label)
    axes.invert_yaxis()
    axes.grid(axis="x", color=FAINT, alpha=0.3, linewidth=0.6)
    return figure
