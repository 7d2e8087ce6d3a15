"""One thing that a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do.

    Args:
        level: "error" should stop a training, "warning" wants a look, "note" only informs.
        kind: what sort of thing it is, such as "near_duplicate".
        text: place, cause and remedy.
        rows: of the table, as a spreadsheet counts; empty where it is about files or the whole.

    Example:
        >>> Finding("warning", "size", "row 3: 40 x 60 pixels", (3,)).rows
        (3,)
    """

    level: Level
    kind: str
    text: str
    rows: tuple[int, ...] = ()
