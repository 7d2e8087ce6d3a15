"""A clip as a few stretches, each of one plane: the steadiest explanation of what the model says frame by frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def steadiest_path(
    probabilities: NDArray[np.float64], seconds: NDArray[np.float64], least_seconds: float, doubt: float
) -> NDArray[np.intp]:
    """Choose a class, or none, for each frame so that the choices are likely and change seldom.

    A class weighs its probability, but `doubt` squared at least: one wrong frame must not decide. No class weighs
    `doubt`. Among all paths it is the one with the largest sum of `log(weight) * duration`, less a price for each
    change (a Potts model; solved exactly, by dynamic programming). From class to class is two changes: one ends,
    another begins. The price is such that a class of probability 1 amid no class, or amid another class, has to last
    `least_seconds` to be worth its changes, and so has a pause amid a class. Both parameters mean something to a
    person, and neither depends on the frame rate.

    Args:
        probabilities: (T, C) of each class in each frame.
        seconds: (T,) how long each frame is shown.
        least_seconds: what a certain class must last.
        doubt: what a class has to be more probable than, over a stretch, so that it is not called none; below 1.

    Returns:
        (T,) index of the class of each frame; C where it is none.

    Example:
        >>> probabilities = np.zeros((9, 2))
        >>> probabilities[2, 0] = probabilities[5:, 0] = 1.0  # one frame of 0.1 s, then four
        >>> steadiest_path(probabilities, np.full(9, 0.1), 0.15, 0.5).tolist()
        [2, 2, 2, 2, 2, 0, 0, 0, 0]
    """
    gains = path_weights(probabilities, doubt) * seconds[:, None]
    price = change_price(least_seconds, doubt)
    frames, states = gains.shape
    none = states - 1
    came_from = np.zeros((frames, states), dtype=np.int32)
    total = gains[0].copy()
    everyone = np.arange(states)
    for frame in range(1, frames):
        leader = int(total[:none].argmax())
        before, value = (
            (none, total[none] - price)
            if total[none] - price >= total[leader] - 2 * price
            else (leader, total[leader] - 2 * price)
        )
        entry = np.full(states, value)
        origin = np.full(states, before)
        entry[none], origin[none] = total[leader] - price, leader
        stays = total >= entry
        came_from[frame] = np.where(stays, everyone, origin)
        total = np.where(stays, total, entry) + gains[frame]
    path = np.empty(frames, dtype=np.intp)
    path[-1] = total.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def path_weights(probabilities: NDArray[np.float64], doubt: float) -> NDArray[np.float64]:
    """What each class, and none of them, weighs in each frame.

    Args:
        probabilities: (T, C).
        doubt: see `steadiest_path`.

    Returns:
        (T, C + 1) logarithms.
    """
    none = np.full((len(probabilities), 1), doubt)
    return np.asarray(np.log(np.concatenate([np.clip(probabilities, doubt**2, 1), none], axis=1)), dtype=np.float64)


def change_price(least_seconds: float, doubt: float) -> float:
    """What it costs to begin or to end a class, in the unit of `log(weight) * duration`.

    Args:
        least_seconds: see `steadiest_path`.
        doubt: likewise.

    Returns:
        The price.
    """
    return float(0.5 * least_seconds * -np.log(doubt))


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
