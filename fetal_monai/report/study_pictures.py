"""Which frames of a study its page shows, within a bound on all of them, and their small pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.inference.inputs import Run, decode_run
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.report.pictures import THUMBNAIL_WIDTH, data_uri, thumbnail
from fetal_monai.study.clip import Clip

MOST_PICTURES = 600
"""In all, beside the few of the checklist: that keeps a page below about 6 MB."""
MOST_OF_A_CLIP = 120

Wanted = tuple[str, int, int]
"""File, frame (-1 for a still) and width in pixels."""


def share_pictures(stills: int, clips: Sequence[Clip]) -> list[int]:
    """Share the pictures of a page among its clips.

    Args:
        stills: how many pictures of stills there are.
        clips: of the study.

    Returns:
        For each clip how many frames may be shown: no more than it has to show, and at least one.

    Example:
        >>> share_pictures(100, [])
        []
    """
    room = MOST_PICTURES - stills
    needs = [min(len(clip.predictions), MOST_OF_A_CLIP) for clip in clips]
    shares = [0] * len(clips)
    for done, index in enumerate(sorted(range(len(clips)), key=lambda index: needs[index])):
        shares[index] = max(1, min(needs[index], room // (len(clips) - done)))
        room -= shares[index]
    return shares


def choose_frames(clip: Clip, most: int) -> list[int]:
    """Choose the frames of a clip that are shown.

    Args:
        clip: as it was analysed.
        most: how many.

    Returns:
        Frames, ascending: the key frames, the better first if there is no room for all, and others spread evenly over
        the classified ones.
    """
    segments = sorted(clip.segments, key=lambda segment: -segment.merit.score)
    keys = list(dict.fromkeys(segment.key_frame.frame for segment in segments))[:most]
    others = [frame for frame in clip.predictions if frame not in set(keys)]
    room = min(most - len(keys), len(others))
    spread = np.linspace(0, len(others) - 1, room).round().astype(int)
    return sorted([*keys, *(others[place] for place in spread.tolist())])


def read_pictures(wanted: Iterable[Wanted], drawn: Mapping[str, bytes] | None = None) -> dict[Wanted, str]:
    """Read frames and shrink them: each file is opened once, one frame is in memory at a time.

    Args:
        wanted: which, in any order.
        drawn: `Study.pictures`: stills that need not be read again.

    Returns:
        JPEGs as data URIs. What can no longer be read is not among them.
    """
    files: dict[str, dict[int, set[int]]] = {}
    pictures = {}
    for path, frame, width in dict.fromkeys(wanted):
        small = drawn.get(path) if drawn and frame == STILL else None
        if small is None:
            files.setdefault(path, {}).setdefault(frame, set()).add(width)
        else:
            pictures[path, frame, width] = data_uri(small if width == THUMBNAIL_WIDTH else _narrower(small, width))
    for path, frames in files.items():
        order = sorted(frames)
        for frame, found in zip(order, decode_run(Run(path, order)), strict=False):
            if isinstance(found, ReadFailure):
                continue
            image = np.ascontiguousarray(found.pixels.transpose(1, 2, 0))
            for width in frames[frame]:
                pictures[path, frame, width] = data_uri(thumbnail(image, width))
    return pictures


def _narrower(encoded: bytes, width: int) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    return thumbnail(np.asarray(image, dtype=np.uint8), width)
