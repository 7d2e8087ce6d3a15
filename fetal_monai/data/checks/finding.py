"""One thing that a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fetal_monai.dicom import FrameRef

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do.

    Args:
        level: "error" should stop a training, "warning" wants a look, "note" only informs.
        kind: what sort of thing it is, such as "near_duplicate".
        text: place, cause and remedy.
        rows: of the table, as a spreadsheet counts; empty where it is about files or the whole.
        images: those that it is about, where looking at them helps; two that are alike stand side by side.

    Example:
        >>> Finding("warning", "size", "row 3: 40 x 60 pixels", (3,)).rows
        (3,)
    """

    level: Level
    kind: str
    text: str
    rows: tuple[int, ...] = ()
    images: tuple[FrameRef, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {
            "level": self.level,
            "kind": self.kind,
            "text": self.text,
            "rows": list(self.rows),
            "images": [str(image) for image in self.images],
        }
