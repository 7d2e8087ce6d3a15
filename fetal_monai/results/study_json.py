"""study.json: what was found in a study, for other programs. `study.schema.json` describes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fetal_monai.inference.prediction import Prediction
from fetal_monai.model.facts import NOTICE
from fetal_monai.study.checklist import Candidate, Checklist
from fetal_monai.study.clip import Clip
from fetal_monai.study.key_frames import Merit
from fetal_monai.study.study import Study

FORMAT = 1
_DIGITS = 4


def study_to_json(study: Study, checklist: Checklist) -> dict[str, Any]:
    """Give the content of study.json.

    Args:
        study: as it was analysed.
        checklist: a protocol held against it.

    Returns:
        Plain values. No patient is named; paths and UIDs are there.
    """
    protocol = checklist.protocol
    return {
        "format": FORMAT,
        "notice": NOTICE,
        "model": asdict(study.identity),
        "class_names": list(study.class_names),
        "study": {
            "name": study.files.name,
            "study_instance_uid": study.files.study_instance_uid,
            "warnings": list(study.files.warnings),
        },
        "protocol": {"title": protocol.title, "source": protocol.source, "review": protocol.review},
        "checklist": [
            {
                "id": found.item.id,
                "title": found.item.title,
                "note": found.item.note,
                "planes": list(found.item.planes),
                "status": found.status.value,
                "best": None if found.best is None else _candidate(found.best),
                "alternatives": [_candidate(other) for other in found.alternatives],
            }
            for found in checklist.findings
        ],
        "stills": [{**_image(found), "sharpness": _number(found.measured)} for found in study.stills],
        "clips": [_clip(clip, study.class_names) for clip in study.clips],
        "failures": [asdict(failure) for failure in study.failures],
        "passed_over": [{"source": source, "reason": why} for source, why in study.files.passed_over.items()],
    }


def _image(found: Prediction) -> dict[str, Any]:
    content = found.to_dict(with_identity=False)
    del content["probabilities"]  # of every image they are in predictions.json
    return content


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        **_image(candidate.prediction),
        "plane": candidate.plane,
        "certain": candidate.certain,
        "seconds": _number(candidate.seconds),
        "merit": _merit(candidate.merit),
    }


def _merit(merit: Merit) -> dict[str, Any]:
    return {name: _number(value) for name, value in {**asdict(merit), "score": merit.score}.items()}


def _clip(clip: Clip, class_names: tuple[str, ...]) -> dict[str, Any]:
    frames = list(clip.predictions)
    return {
        "source": clip.source,
        "sop_instance_uid": clip.sop_instance_uid,
        "frames": clip.frames,
        "frame_times_known": clip.times is not None,
        "segments": [
            {
                "plane": segment.plane,
                "first_frame": segment.first,
                "last_frame": segment.last,
                "start_seconds": _number(segment.start),
                "end_seconds": _number(segment.end),
                "confidence": _number(segment.confidence),
                "certain": segment.certain,
                "key_frame": {
                    **_image(segment.key_frame),
                    "seconds": None if clip.times is None else _number(clip.times[segment.key_frame.frame]),
                    "merit": _merit(segment.merit),
                },
            }
            for segment in clip.segments
        ],
        "classified": {
            "frames": frames,
            "seconds": None if clip.times is None else [_number(clip.times[frame]) for frame in frames],
            "probabilities": {
                name: [_number(found.probabilities[column]) for found in clip.predictions.values()]
                for column, name in enumerate(class_names)
            },
        },
        "unreadable_frames": sorted(clip.unreadable),
    }


def _number(value: Any) -> float | None:
    """Enough digits to compare, few enough to read."""
    return None if value is None else round(float(value), _DIGITS)
