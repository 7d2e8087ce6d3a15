"""A clip as a few stretches, each of one plane: the steadiest explanation of what the model says frame by frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-6


def steadiest_path(
    weights: NDArray[np.float64], seconds: NDArray[np.float64], least_seconds: float, doubt: float
) -> NDArray[np.intp]:
    """Choose one state for each frame so that states are likely and change seldom.

    Among all paths it is the one with the largest sum of `log(weight) * duration`, less a price for each change (the
    Potts model of Blake and Zisserman, solved exactly by dynamic programming). The price is such that a state that is
    certain, amid a state of weight `doubt`, has to last `least_seconds` to be worth the two changes around it: both
    parameters mean something to a person, and neither depends on the frame rate.

    Args:
        weights: (T, S) how well each state explains each frame, 0 to 1.
        seconds: (T,) how long each frame is shown.
        least_seconds: what a certain state must last.
        doubt: weight of the state that stands for none of the others, between 0 and 1.

    Returns:
        (T,) index of the state of each frame.

    Example:
        >>> weights = np.full((7, 2), 0.5)
        >>> weights[3, 0] = weights[5:, 0] = 1.0  # one frame of 0.1 s, then two
        >>> steadiest_path(weights, np.full(7, 0.1), 0.15, 0.5).tolist()
        [1, 1, 1, 1, 1, 0, 0]
    """
    gains = np.log(np.maximum(weights, FLOOR)) * seconds[:, None]
    price = 0.5 * least_seconds * -np.log(doubt)
    frames, states = gains.shape
    came_from = np.zeros((frames, states), dtype=np.int32)
    total = gains[0].copy()
    everyone = np.arange(states)
    for frame in range(1, frames):
        leader = int(total.argmax())
        stays = total >= total[leader] - price
        came_from[frame] = np.where(stays, everyone, leader)
        total = np.where(stays, total, total[leader] - price) + gains[frame]
    path = np.empty(frames, dtype=np.intp)
    path[-1] = total.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def stretches(path: NDArray[np.intp]) -> list[tuple[int, int, int]]:
    """Cut a path where its state changes.

    Args:
        path: (T,) state of each frame.

    Returns:
        (state, first frame, last frame) of each stretch, in order.

    Example:
        >>> stretches(np.array([2, 2, 0, 1, 1, 1]))
        [(2, 0, 1), (0, 2, 2), (1, 3, 5)]
    """
    cuts = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(int(path[start]), start, end - 1) for start, end in pairwise(cuts) if end > start]
