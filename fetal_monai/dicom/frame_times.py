"""When each frame of a clip was shown, from the Cine module (PS3.3 C.7.6.5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

PLAUSIBLE = (0.2, 60_000.0)
"""Milliseconds from frame to frame: 5,000 frames a second to one a minute. Seconds in their place are below."""


def frame_times(dataset: Dataset, frames: int) -> NDArray[np.float64] | None:
    """Give the time of each frame.

    FrameTimeVector, which clips of a variable frame rate have, goes before FrameTime; then come CineRate and
    RecommendedDisplayFrameRate. A vector that does not fit the clip, or runs backwards, is no vector. What is not
    `PLAUSIBLE` is not believed; a vector may have a few shorter steps.

    Args:
        dataset: the header.
        frames: how many there are, 1 or more.

    Returns:
        (frames,) seconds since the first frame, ascending; None where the header does not tell.

    Example:
        >>> dataset = Dataset()
        >>> dataset.FrameTimeVector = [0, 40, 80]
        >>> frame_times(dataset, 3)
        array([0.  , 0.04, 0.12])
        >>> dataset.FrameTime = 20  # the vector has three values only
        >>> frame_times(dataset, 4)
        array([0.  , 0.02, 0.04, 0.06])
    """
    vector = dataset.get("FrameTimeVector")
    if isinstance(vector, (list, MultiValue)) and len(vector) == frames > 1:
        steps = np.array([positive(step) for step in vector[1:]])
        if np.isfinite(steps).all() and _is_plausible(float(np.median(steps))) and _is_plausible(float(steps.max())):
            return np.concatenate([[0.0], np.cumsum(steps)]) / 1000
    step = constant_frame_time(dataset)
    return None if math.isnan(step) else np.arange(frames) * step / 1000


def constant_frame_time(dataset: Dataset) -> float:
    """Milliseconds between frames where one value is said to hold for all.

    Args:
        dataset: the header.

    Returns:
        NaN where there is none that is `PLAUSIBLE`.

    Example:
        >>> dataset = Dataset()
        >>> dataset.FrameTime, dataset.CineRate = 0.04, 25  # the first in seconds
        >>> constant_frame_time(dataset)
        40.0
    """
    for keyword in ("FrameTime", "CineRate", "RecommendedDisplayFrameRate"):
        number = positive(dataset.get(keyword))
        step = number if keyword == "FrameTime" else 1000 / number
        if _is_plausible(step):
            return step
    return math.nan


def _is_plausible(step: float) -> bool:
    return PLAUSIBLE[0] <= step <= PLAUSIBLE[1]


def positive(value: Any) -> float:
    """Read a number above zero.

    Args:
        value: of an element.

    Returns:
        NaN for anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if number > 0 and math.isfinite(number) else math.nan
