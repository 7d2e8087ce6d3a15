"""The page of a study: its checklist with the image that shows each item best, its clips over time, its stills."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.inference.prediction import Prediction
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import THUMBNAIL_WIDTH, data_uri, thumbnail
from fetal_monai.report.study_pictures import Wanted, choose_frames, read_pictures, share_pictures
from fetal_monai.report.study_timeline import timeline
from fetal_monai.study.checklist import Candidate, Checklist, ItemFinding, Status
from fetal_monai.study.clip import Clip
from fetal_monai.study.key_frames import Merit
from fetal_monai.study.study import PICTURED_STILLS, Study

Explain = Callable[[Prediction, str], "NDArray[np.uint8] | None"]
"""Draws why an image may show a plane, (H, W, 3) uint8 RGB; None where there is nothing to draw."""

SMALL = 130  # alternatives, pixels wide
PASSING = 200  # frames of a timeline
SYMBOLS = {Status.FOUND: "✓", Status.UNCERTAIN: "?", Status.MISSING: "✗", Status.NOT_ASSESSABLE: "\u2013"}
CLASSES = {status: status.name.lower().replace("_", "-") for status in Status}


def write_study_page(
    study: Study, checklist: Checklist, path: str | os.PathLike[str], *, explain: Explain | None = None
) -> Path:
    """Write the page, whole or not at all: one file that asks for nothing else.

    Args:
        study: as it was analysed. Pictures that it does not hold are read from its files; one that is gone has none.
        checklist: a protocol held against it.
        path: the .html file.
        explain: draws what spoke for the best image of each item, see `StudyExplainer`; without it nothing is drawn.

    Returns:
        The path.

    Example:
        >>> write_study_page(study, check(study, load_protocol()), "study.html")  # doctest: +SKIP
        PosixPath('study.html')
    """
    stills = study.stills[:PICTURED_STILLS]
    shown = [
        choose_frames(clip, most)
        for clip, most in zip(study.clips, share_pictures(len(stills), study.clips), strict=True)
    ]
    pictures = read_pictures(_wanted(study, checklist, shown), study.pictures)
    names = _short_names(study)
    findings = checklist.findings
    clip_numbers = {clip.source: number for number, clip in enumerate(study.clips)}
    candidate = partial(_candidate, names=names, pictures=pictures, clip_numbers=clip_numbers)
    return write_page(
        "study.html",
        path,
        title=f"Study {study.files.name}",
        study=study,
        protocol=checklist.protocol,
        counts=[(status.value, CLASSES[status], SYMBOLS[status], checklist.count(status)) for status in Status],
        named={
            status.value: [(row, found.item.title) for row, found in enumerate(findings) if found.status == status]
            for status in (Status.MISSING, Status.UNCERTAIN)
        },
        findings=[_finding(found, study.class_names, candidate, explain) for found in findings],
        clips=[_clip(clip, frames, names, pictures) for clip, frames in zip(study.clips, shown, strict=True)],
        stills=[_still(found, names, pictures) for found in study.stills],
        failures=[
            (names.get(failed.source, failed.source), failed.message.removeprefix(f"{failed.source}: "))
            for failed in study.failures
        ],
        passed_over=[(names.get(source, source), why) for source, why in study.files.passed_over.items()],
        identity=asdict(study.identity),
    )


def _wanted(study: Study, checklist: Checklist, shown: list[list[int]]) -> list[Wanted]:
    """All pictures of the page."""
    best = [found.best for found in checklist.findings if found.best is not None]
    others = [other for found in checklist.findings for other in found.alternatives]
    return [
        *((one.prediction.source, one.prediction.frame, THUMBNAIL_WIDTH) for one in best),
        *((one.prediction.source, one.prediction.frame, SMALL) for one in others),
        *((found.source, found.frame, THUMBNAIL_WIDTH) for found in study.stills[:PICTURED_STILLS]),
        *(
            (clip.source, frame, _width(clip, frame))
            for clip, frames in zip(study.clips, shown, strict=True)
            for frame in frames
        ),
    ]


def _width(clip: Clip, frame: int) -> int:
    return THUMBNAIL_WIDTH if any(segment.key_frame.frame == frame for segment in clip.segments) else PASSING


def _short_names(study: Study) -> dict[str, str]:
    """Paths below the folder that all files of the study lie in."""
    sources = [found.source for found in study.stills] + [clip.source for clip in study.clips]
    sources += [failed.source for failed in study.failures] + list(study.files.passed_over)
    folders = [os.path.dirname(source) for source in sources]  # noqa: PTH120  # names as they were given
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # none, or some relative and others not
        return {}
    return {source: os.path.relpath(source, common or os.curdir) for source in sources}


def _finding(
    found: ItemFinding,
    class_names: tuple[str, ...],
    candidate: Callable[[Candidate, int], dict[str, Any]],
    explain: Explain | None,
) -> dict[str, Any]:
    best = None if found.best is None else candidate(found.best, THUMBNAIL_WIDTH)
    drawn = None if found.best is None or explain is None else explain(found.best.prediction, found.best.plane)
    return {
        "title": found.item.title,
        "note": found.item.note,
        "planes": [plane for plane in found.item.planes if plane in class_names],
        "status": found.status.value,
        "class": CLASSES[found.status],
        "symbol": SYMBOLS[found.status],
        "best": best,
        "explanation": None if drawn is None else data_uri(thumbnail(drawn)),
        "alternatives": [candidate(other, SMALL) for other in found.alternatives],
    }


def _candidate(
    found: Candidate,
    width: int,
    *,
    names: dict[str, str],
    pictures: dict[Wanted, str],
    clip_numbers: dict[str, int],
) -> dict[str, Any]:
    prediction = found.prediction
    return {
        "plane": found.plane,
        "picture": pictures.get((prediction.source, prediction.frame, width)),
        "doubts": [] if found.certain else _doubts(prediction, found.plane),
        "numbers": _numbers(found.merit),
        "set": prediction.conformal_set,
        "file": names.get(prediction.source, prediction.source),
        "frame": prediction.frame,
        "seconds": found.seconds,
        "clip": clip_numbers.get(prediction.source) if prediction.frame >= 0 else None,
    }


def _doubts(found: Prediction, plane: str | None = None) -> list[str]:
    """Why an image is not taken for sure."""
    doubts = []
    if found.label is None:
        doubts.append("The model abstains: it is not sure enough")
    if found.out_of_distribution:
        doubts.append("Unlike the training images")
    if plane is not None and found.top != plane:
        doubts.append(f"{found.top} is more probable: {_percent(found.confidence)}")
    return doubts


def _numbers(merit: Merit) -> list[tuple[str, str, float]]:
    """Name, text and share of what made an image the best."""
    shares = {"Sharpness": merit.sharpness, "Stability": merit.stability, "Score": merit.score}
    return [
        ("Confidence", _percent(merit.confidence), merit.confidence),
        *((name, f"{share:.2f}", share) for name, share in shares.items()),
    ]


def _clip(clip: Clip, frames: list[int], names: dict[str, str], pictures: dict[Wanted, str]) -> dict[str, Any]:
    chart = timeline(clip)
    keys = {segment.key_frame.frame for segment in clip.segments}
    passing = {frame: pictures.get((clip.source, frame, PASSING)) for frame in frames if frame not in keys}
    chart["steps"]["pictures"] = [[frame, picture] for frame, picture in passing.items() if picture is not None]
    return {
        "file": names.get(clip.source, clip.source),
        "frames": clip.frames,
        "seconds": None if clip.times is None else float(2 * clip.times[-1] - clip.times[-2]),
        "classified": len(clip.predictions),
        "unreadable": len(clip.unreadable),
        "chart": chart,
        "segments": [
            {
                "plane": segment.plane,
                "first": segment.first,
                "last": segment.last,
                "start": segment.start,
                "end": segment.end,
                "confidence": _percent(segment.confidence),
                "frame": segment.key_frame.frame,
                "seconds": None if clip.times is None else float(clip.times[segment.key_frame.frame]),
                "numbers": _numbers(segment.merit),
                "doubts": _doubts(segment.key_frame, segment.plane),
                "picture": pictures.get((clip.source, segment.key_frame.frame, THUMBNAIL_WIDTH)),
            }
            for segment in clip.segments
        ],
    }


def _still(found: Prediction, names: dict[str, str], pictures: dict[Wanted, str]) -> dict[str, Any]:
    return {
        "plane": found.top,
        "confidence": _percent(found.confidence),
        "doubts": _doubts(found),
        "set": found.conformal_set,
        "file": names.get(found.source, found.source),
        "picture": pictures.get((found.source, found.frame, THUMBNAIL_WIDTH)),
    }


def _percent(share: float) -> str:
    """A probability as it is read; neither certain nor impossible unless it is."""
    whole = round(share * 100)
    if whole == 100:
        return ">99\u00a0%"
    return "<1\u00a0%" if whole == 0 else f"{whole}\u00a0%"
