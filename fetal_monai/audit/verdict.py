"""From a measured effect and its interval to a word: a shortcut, none, or too few images to tell."""

from __future__ import annotations

from enum import Enum

from fetal_monai.metrics.bootstrap import Interval


class Verdict(str, Enum):
    """What an effect says."""

    FOUND = "found"
    """The effect is there, and larger than what is tolerated."""
    NOT_FOUND = "not found"
    """Even the upper end of its interval is tolerable."""
    UNDECIDED = "cannot tell"
    """The interval reaches from nothing to more than is tolerated: too few images."""


def judge(effect: Interval, tolerance: float, patients: int) -> Verdict:
    """Judge an effect: not only whether it is there, but whether enough images were looked at to say that it is not.

    Args:
        effect: how much of what a model does is owed to a shortcut, with its interval; 0 is none.
        tolerance: the largest effect that does not matter, above 0.
        patients: how many were looked at. Where resampling them shows no variation, up to 3 in that many may still
            differ (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983).

    Returns:
        `FOUND` where the value exceeds `tolerance` and the interval excludes 0; `NOT_FOUND` where the whole interval
        lies below `tolerance`; else `UNDECIDED`.

    Example:
        >>> effects = [Interval(0.2, 0.1, 0.3), Interval(0.0, -0.02, 0.02), Interval(0.1, -0.1, 0.3)]
        >>> [judge(effect, 0.05, patients=100).value for effect in effects]
        ['found', 'not found', 'cannot tell']
    """
    if effect.value is None:
        return Verdict.UNDECIDED
    low, high = effect.low, effect.high
    if low is None or high is None or low == high:
        low, high = effect.value - 3 / patients, effect.value + 3 / patients
    if effect.value > tolerance and low > 0:
        return Verdict.FOUND
    return Verdict.NOT_FOUND if high <= tolerance else Verdict.UNDECIDED


def overall(verdicts: list[Verdict]) -> Verdict:
    """Put the verdicts of several questions together.

    Args:
        verdicts: one or more.

    Returns:
        `FOUND` where any is; `NOT_FOUND` where all are; else `UNDECIDED`.

    Example:
        >>> overall([Verdict.NOT_FOUND, Verdict.UNDECIDED]).value
        'cannot tell'
    """
    if Verdict.FOUND in verdicts:
        return Verdict.FOUND
    return Verdict.NOT_FOUND if set(verdicts) == {Verdict.NOT_FOUND} else Verdict.UNDECIDED
