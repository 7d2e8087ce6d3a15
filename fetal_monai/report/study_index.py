"""The page of many studies: what each has and lacks, and where its own page is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.report.page import write_page
from fetal_monai.study.checklist import Status

HEADINGS = ("Study", "Found", "Uncertain", "Missing", "Not assessable", "Stills", "Clips", "Not read")


@dataclass(frozen=True)
class StudyRow:
    """A study in the index.

    Args:
        name: of the study.
        link: path of its page from the folder of the index, with `/` between folders; None if it has none.
        counts: how many items of the protocol have each status.
        stills: how many there are.
        clips: likewise.
        failures: how many files and frames could not be read.

    Example:
        >>> StudyRow("A", "A/study.html", {Status.FOUND: 7}, 12, 2).failures
        0
    """

    name: str
    link: str | None
    counts: Mapping[Status, int]
    stills: int
    clips: int
    failures: int = 0


def write_study_index(
    rows: Sequence[StudyRow],
    path: str | os.PathLike[str],
    *,
    title: str = "Studies",
    failures: Iterable[ReadFailure] = (),
    passed_over: Mapping[str, str] | None = None,
) -> Path:
    """Write the index, whole or not at all: one file that asks for nothing else.

    Args:
        rows: of the studies, in the order in which they are listed.
        path: the .html file.
        title: of the page.
        failures: files that belong to no study because they could not be read.
        passed_over: file -> why it was not looked at.

    Returns:
        The path.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> write_study_index([StudyRow("A", "A/study.html", {Status.FOUND: 7}, 12, 2)], folder + "/index.html").name
        'index.html'
    """
    order = sorted(range(len(rows)), key=lambda place: rows[place].name.casefold())
    rank = {place: number for number, place in enumerate(order)}
    names = told_apart([row.name for row in rows])
    return write_page(
        "study_index.html",
        path,
        title=title,
        headings=HEADINGS,
        rows=[_row(row, names[place], rank[place]) for place, row in enumerate(rows)],
        failures=[(failed.source, failed.message.removeprefix(f"{failed.source}: ")) for failed in failures],
        passed_over=list((passed_over or {}).items()),
    )


def told_apart(names: Sequence[str]) -> list[str]:
    """Put their numbers behind the names that several studies have, such as those of one folder.

    Args:
        names: of the studies, in their order.

    Returns:
        A name for each.

    Example:
        >>> told_apart(["dicom", "A", "dicom"])
        ['dicom (1)', 'A', 'dicom (3)']
    """
    count = Counter(names)
    apart = [f"{name} ({number})" if count[name] > 1 else name for number, name in enumerate(names, start=1)]
    if len(set(apart)) == len(apart):
        return apart
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]  # a folder has such a name already


def _row(row: StudyRow, name: str, rank: int) -> dict[str, Any]:
    # Quoted as a whole and begun with a dot, a link stays one to a file near by, whatever a folder is called.
    link = None if row.link is None else "./" + quote(row.link, errors="surrogateescape")
    numbers = [*(row.counts.get(status, 0) for status in Status), row.stills, row.clips, row.failures]
    return {"name": name, "rank": rank, "link": link, "numbers": numbers}
