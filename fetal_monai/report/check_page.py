"""The check of a data set for people: what is wrong, with the images in question, and what each class looks like."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fetal_monai.data.checks import DataReport, Finding
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import DicomReadError
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import data_uri, read_frame, thumbnail

MOST_PICTURED = 150
"""The most findings that come with pictures: a page of thousands opens nowhere."""
_WIDTH = 200
_HEADINGS = {"error": "Errors: do not train on this", "warning": "Warnings: look at these", "note": "Notes"}


def write_check_page(report: DataReport, path: str | os.PathLike[str], *, title: str = "Check of a data set") -> Path:
    """Write the page, whole or not at all: one file that asks for nothing else.

    Args:
        report: of `check_data`.
        path: the .html file.
        title: of the page.

    Returns:
        The path.
    """
    left = MOST_PICTURED
    levels = []
    for level, heading in _HEADINGS.items():
        findings = [finding for finding in report.findings if finding.level == level]
        with_pictures = [finding for finding in findings if finding.images][:left]
        left -= len(with_pictures)
        shown = {id(finding): _pictures(finding.images) for finding in with_pictures}
        if findings:
            levels.append((level, heading, [(finding, shown.get(id(finding), [])) for finding in findings]))
    counts = report.counts
    return write_page(
        "check.html",
        path,
        title=title,
        report=report,
        levels=levels,
        unpictured=_unpictured(report.findings),
        splits=[] if counts is None else list(counts.columns),
        counts=[] if counts is None else [(str(name), row.tolist()) for name, row in counts.iterrows()],
        examples=[(name or "Images", _pictures(images)) for name, images in report.examples.items()],
    )


def _unpictured(findings: Iterable[Finding]) -> int:
    return max(0, sum(bool(finding.images) for finding in findings) - MOST_PICTURED)


def _pictures(images: Iterable[FrameRef]) -> list[tuple[str, str]]:
    """(name, picture) of each image; an empty picture where it cannot be read, which is a finding of its own."""
    found = []
    for image in images:
        try:
            picture = data_uri(thumbnail(read_frame(image), _WIDTH))
        except DicomReadError:
            picture = ""
        found.append((f"{Path(image.path).name}{'' if image.frame < 0 else f', frame {image.frame}'}", picture))
    return found
