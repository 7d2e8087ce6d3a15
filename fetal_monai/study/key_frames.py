"""Which frame shows a plane best: the model's confidence, sharpness and stability together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SURE = 0.9
"""Confidence from which on more of it says nothing about the picture: sharpness and stability decide."""
_ASKED_TOGETHER = 2


@dataclass(frozen=True)
class Merit:
    """How well a frame shows a plane, and why.

    Args:
        confidence: calibrated probability of the plane, 0 to 1.
        sharpness: share of the sharpest frame that it is compared with, 0 to 1.
        stability: 1 where the picture stands still, towards 0 the faster it changes; 1 for a still.

    Example:
        >>> round(Merit(0.95, 1.0, 0.512).score, 3), round(Merit(0.45, 1.0, 0.512).score, 3)
        (0.8, 0.635)
    """

    confidence: float
    sharpness: float
    stability: float = 1.0

    @property
    def score(self) -> float:
        """Geometric mean of confidence (from `SURE` on: 1), sharpness and stability, 0 to 1."""
        return score(self.confidence, self.sharpness * self.stability)


def score(confidence: float, quality: float) -> float:
    """Put confidence and quality together.

    Args:
        confidence: probability of the plane.
        quality: sharpness times stability.

    Returns:
        0 to 1; it never falls when one of them rises.
    """
    return float((min(confidence / SURE, 1.0) * quality) ** (1 / 3))


def choose_key_frame(
    frames: Sequence[int],
    quality: NDArray[np.float64],
    ask: Callable[[Sequence[int]], Mapping[int, float]],
) -> int | None:
    """Find the frame with the best score, and ask the model of no more frames than that takes.

    No frame can score more than a sure one of its quality would. So frames are asked in the order of their quality, and
    once the best score is out of reach of the rest, it is the best of all: the same as if every frame had been asked.

    Args:
        frames: of a stretch.
        quality: (len(frames),) sharpness times stability of each; NaN for frames that cannot be read.
        ask: gives the confidence of frames; it may leave out those that it cannot tell.

    Returns:
        The frame; of equal scores the one of better quality, then the earlier. None if no frame can be read.

    Example:
        >>> sure = {10: 0.2, 11: 0.95, 12: 0.5}
        >>> choose_key_frame([10, 11, 12], np.array([0.9, 0.8, 0.1]), lambda asked: {k: sure[k] for k in asked})
        11
    """
    readable = np.flatnonzero(np.isfinite(quality))
    order = readable[np.argsort(-quality[readable], kind="stable")]
    best: tuple[float, int] | None = None
    for start in range(0, len(order), _ASKED_TOGETHER):
        part = order[start : start + _ASKED_TOGETHER]
        if best is not None and score(1.0, float(quality[part[0]])) <= best[0]:
            break
        confidence = ask([frames[row] for row in part])
        for row in part:
            frame = frames[row]
            if frame in confidence:
                found = (score(confidence[frame], float(quality[row])), frame)
                if best is None or found[0] > best[0]:
                    best = found
    return None if best is None else best[1]
