"""A protocol held against a study: what is there and where best, what is uncertain, missing, or beyond the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from fetal_monai.inference.prediction import Prediction
from fetal_monai.study.clip import Clip, Segment
from fetal_monai.study.key_frames import Merit
from fetal_monai.study.protocol import Protocol, ProtocolItem
from fetal_monai.study.study import Study

ALTERNATIVES = 3


class Status(str, Enum):
    """What is known about an item of a protocol."""

    FOUND = "found"
    UNCERTAIN = "uncertain"
    """There are images that may show it, none of which the model is sure of."""
    MISSING = "missing"
    """The model knows planes that show it, and found none of them."""
    NOT_ASSESSABLE = "not assessable by this model"


@dataclass(frozen=True, eq=False)
class Candidate:
    """An image of the study that may show an item: a still, or the key frame of a clip's segment.

    Args:
        plane: the class that it is taken for here.
        prediction: what the model says.
        merit: how good it is; its sharpness is a share of the sharpest image of that plane in the study.
        certain: whether the model labels it so, and finds nothing unusual about it.
        seconds: since the first frame of the clip; None for stills and where the header does not tell.
    """

    plane: str
    prediction: Prediction
    merit: Merit
    certain: bool
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class ItemFinding:
    """An item of the protocol and what the study has for it.

    Args:
        item: of the protocol.
        status: what is known.
        best: the image that shows it best; None if there is none.
        alternatives: up to `ALTERNATIVES` more, the better first.
    """

    item: ProtocolItem
    status: Status
    best: Candidate | None = None
    alternatives: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class Checklist:
    """A protocol held against a study.

    Args:
        protocol: as it was read.
        findings: one for each item, in order.
    """

    protocol: Protocol
    findings: tuple[ItemFinding, ...]

    def count(self, status: Status) -> int:
        """How many items have a status."""
        return sum(finding.status == status for finding in self.findings)


def check(study: Study, protocol: Protocol) -> Checklist:
    """Hold a protocol against a study.

    Args:
        study: as it was analysed.
        protocol: what it has to show.

    Returns:
        The checklist. An item is found if an image is labelled with one of its planes and not out of distribution;
        uncertain if an image only may be: the model abstains, or it is out of distribution, while one of the planes is
        the most probable or in the conformal set.
    """
    return Checklist(protocol, tuple(_find(item, study) for item in protocol.items))


def candidates(study: Study, plane: str) -> list[Candidate]:
    """Find the images that may show a plane.

    Args:
        study: as it was analysed.
        plane: a class.

    Returns:
        Certain ones first, then by score, falling.
    """
    stills = [
        (Candidate(plane, found, Merit(_probability(found, plane), 0.0), found.shows(plane)), float(found.measured))
        for found in study.stills
        if _may_show(found, plane)
    ]
    segments = [
        (
            Candidate(plane, segment.key_frame, segment.merit, segment.certain, _seconds(clip, segment)),
            segment.sharpness,
        )
        for clip in study.clips
        for segment in clip.segments
        if segment.plane == plane
    ]
    every = [*stills, *segments]
    sharpest = max((sharpness for _, sharpness in every), default=0.0) or 1.0
    return _ranked(
        replace(candidate, merit=replace(candidate.merit, sharpness=sharpness / sharpest))
        for candidate, sharpness in every
    )


def _find(item: ProtocolItem, study: Study) -> ItemFinding:
    planes = [plane for plane in item.planes if plane in study.class_names]
    if not planes:
        return ItemFinding(item, Status.NOT_ASSESSABLE)
    found = _ranked(candidate for plane in planes for candidate in candidates(study, plane))
    if not found:
        return ItemFinding(item, Status.MISSING)
    status = Status.FOUND if found[0].certain else Status.UNCERTAIN
    unique = _once(found)
    return ItemFinding(item, status, unique[0], tuple(unique[1 : 1 + ALTERNATIVES]))


def _ranked(found: Iterable[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda candidate: (not candidate.certain, -candidate.merit.score))


def _once(found: Sequence[Candidate]) -> list[Candidate]:
    """One image counts once, where it is best, though it may show two planes of an item."""
    first = dict[tuple[str, int], Candidate]()
    for one in found:
        first.setdefault((one.prediction.source, one.prediction.frame), one)
    return list(first.values())


def _may_show(found: Prediction, plane: str) -> bool:
    if found.label is not None and not found.out_of_distribution:
        return found.label == plane
    return found.top == plane or plane in (found.conformal_set or ())


def _probability(found: Prediction, plane: str) -> float:
    return float(found.probabilities[found.class_names.index(plane)])


def _seconds(clip: Clip, segment: Segment) -> float | None:
    return None if clip.times is None else float(clip.times[segment.key_frame.frame])
