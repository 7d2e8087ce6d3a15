"""The audit for people: what was asked, what the model answered, and what the changed screens look like."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fetal_monai.audit import screen
from fetal_monai.audit.audit import Audit
from fetal_monai.audit.donors import choose_donors
from fetal_monai.audit.screen import VARIANTS
from fetal_monai.audit.verdict import Verdict
from fetal_monai.inference.inputs import Frame, decode_frame
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import data_uri, thumbnail
from fetal_monai.report.summary import format_interval

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
        interval=format_interval,
        examples=_examples(items, seed),
        variants=VARIANTS,
        failures=[(failed.source, failed.message.removeprefix(f"{failed.source}: ")) for failed in audit.failures],
        passed_over=[],
    )


def _examples(items: Sequence[dict[str, Any]], seed: int) -> list[tuple[str, list[str]]]:
    """An image of each of the first classes, as (class, a picture for each of `VARIANTS`)."""
    donors = choose_donors(items, np.random.default_rng(seed))
    found: dict[str, list[str]] = {}
    for place, item in enumerate(items):
        if len(found) == MOST_EXAMPLES:
            break
        if item["class"] in found:
            continue
        frame, donor = decode_frame(item["image"]), decode_frame(items[donors[place]]["image"])
        if isinstance(frame, ReadFailure) or isinstance(donor, ReadFailure):
            continue
        found[item["class"]] = [_picture(one) for one in screen.variants(frame, donor, seed, place)]
    return list(found.items())


def _picture(frame: Frame) -> str:
    return data_uri(thumbnail(np.ascontiguousarray(frame.pixels.transpose(1, 2, 0))))
