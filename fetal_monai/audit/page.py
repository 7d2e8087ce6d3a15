"""The audit for people: what was asked, what the model answered, and what the changed screens look like."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fetal_monai.audit import screen
from fetal_monai.audit.audit import Audit
from fetal_monai.audit.images import choose_donors, decoded
from fetal_monai.audit.screen import VARIANTS
from fetal_monai.audit.verdict import Verdict
from fetal_monai.inference.inputs import Frame
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.metrics.bootstrap import Interval
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import data_uri, thumbnail

MOST_EXAMPLES = 4
CONCLUSIONS = {
    Verdict.FOUND: "A shortcut was found: the answers follow what is not anatomy.",
    Verdict.NOT_FOUND: "No shortcut was found among those that were asked about.",
    Verdict.UNDECIDED: "There are too few images to tell.",
}


def write_audit_page(
    audit: Audit,
    items: Sequence[dict[str, Any]],
    path: str | os.PathLike[str],
    *,
    title: str = "Shortcut audit",
    seed: int = 0,
) -> Path:
    """Write the page, whole or not at all: one file that asks for nothing else.

    Args:
        audit: the answers.
        items: the images, of which a few of different classes are shown with each change.
        path: the .html file.
        title: of the page.
        seed: that the audit had.

    Returns:
        The path.
    """
    return write_page(
        "audit.html",
        path,
        title=title,
        audit=audit,
        conclusion=CONCLUSIONS[audit.verdict],
        answers=[
            (answer.question, answer.change, in_words(answer.accuracy), in_words(answer.effect), answer.verdict.value)
            for answer in audit.answers
        ],
        accuracy=in_words(audit.accuracy),
        devices=[(name, count, in_words(accuracy)) for name, (count, accuracy) in audit.devices.items()],
        examples=_examples(items, seed),
        variants=VARIANTS,
        failures=[(failed.source, failed.message.removeprefix(f"{failed.source}: ")) for failed in audit.failures],
        passed_over=[],
    )


def in_words(interval: Interval) -> str:
    """Write a value with its interval.

    Args:
        interval: of a share.

    Returns:
        Text such as `0.91 (0.88 to 0.94)`.

    Example:
        >>> in_words(Interval(0.5, 0.25, 0.75)), in_words(Interval(None))
        ('0.500 (0.250 to 0.750)', 'undefined')
    """
    if interval.value is None:
        return "undefined"
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (None if end is None else f"{round(end, 3) + 0:.3f}" for end in ends)  # + 0: never -0.000
    return f"{value}" if low is None else f"{value} ({low} to {high})"


def _examples(items: Sequence[dict[str, Any]], seed: int) -> list[tuple[str, list[str]]]:
    """An image of each of the first classes, as (class, a picture for each of `VARIANTS`)."""
    donors = choose_donors(items, np.random.default_rng(seed))
    found: dict[str, list[str]] = {}
    for place, item in enumerate(items):
        if len(found) == MOST_EXAMPLES:
            break
        if item["class"] in found:
            continue
        frame, donor = decoded(item), decoded(items[donors[place]])
        if isinstance(frame, ReadFailure) or isinstance(donor, ReadFailure):
            continue
        found[item["class"]] = [_picture(one) for one in screen.variants(frame, donor, seed, place)]
    return list(found.items())


def _picture(frame: Frame) -> str:
    return data_uri(thumbnail(np.ascontiguousarray(frame.pixels.transpose(1, 2, 0))))
