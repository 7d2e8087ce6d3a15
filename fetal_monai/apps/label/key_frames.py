"""The key frames of a clip, found once and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.errors import DicomReadError
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.study.clip import analyse_clip

REMEMBERED = 1000
"""Clips whose key frames are kept in memory; those not asked for longest go first."""


@dataclass(frozen=True)
class KeyFrame:
    """The frame of a clip that shows a plane best.

    Args:
        frame: zero-based.
        plane: the class.
        confidence: calibrated probability of the plane in this frame.
        score: confidence, sharpness and stability together, 0 to 1.
        first: frame with which the plane comes into view.
        last: frame, included, with which it goes.
    """

    frame: int
    plane: str
    confidence: float
    score: float
    first: int
    last: int


class ClipKeyFrames:
    """Key frames of clips, by the model that is served.

    Each clip is analysed once for each version of the model, whoever asks and however many at a time.

    Args:
        served: the model.
        remembered: for how many clips the answer is kept.
    """

    def __init__(self, served: ServedPredictor, remembered: int = REMEMBERED) -> None:
        self._served = served
        self._remembered = remembered
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[int, str], Future[tuple[KeyFrame, ...] | DicomReadError]] = OrderedDict()

    def find(self, image: ImageFile) -> tuple[KeyFrame, ...]:
        """Give the key frames of a clip; the first time this takes seconds.

        Args:
            image: a clip or a still.

        Returns:
            One for each stretch of the clip that shows a plane, in the order of the clip, as an annotator walks
            through it: `score` tells which is best. Empty if it shows none, and for a still.

        Raises:
            DicomReadError: if the clip cannot be analysed.
        """
        if image.frames == 1:
            return ()
        number, predictor = self._served.get()
        key = number, image.path
        with self._lock:
            known = self._answers.get(key)
            answer = self._answers.setdefault(key, Future())
            self._answers.move_to_end(key)
            if len(self._answers) > self._remembered:
                self._answers.popitem(last=False)
        if known is None:
            try:
                answer.set_result(_analyse(image.path, predictor))
            except BaseException as error:  # noqa: BLE001  # those who wait are told, too
                with self._lock:
                    self._answers.pop(key, None)  # not the clip's fault: the next request tries again
                answer.set_exception(error)
        found = answer.result()
        if isinstance(found, DicomReadError):
            raise DicomReadError(found.path, found.cause, found.remedy)  # one that is raised twice grows its traceback
        return found


def _analyse(path: str, predictor: Predictor) -> tuple[KeyFrame, ...] | DicomReadError:
    """The key frames, or why there are none."""
    name = Path(path).name  # where files lie on the server is no client's business
    try:
        clip = analyse_clip(path, predictor)
    except DicomReadError as error:
        return DicomReadError(name, error.cause.replace(path, name), error.remedy)
    if isinstance(clip, ReadFailure):
        cause, _, remedy = clip.message.removeprefix(f"{path}: ").replace(path, name).partition("; ")
        return DicomReadError(name, cause, remedy or "label it by eye")
    return tuple(
        KeyFrame(
            frame=segment.key_frame.frame,
            plane=segment.plane,
            confidence=segment.merit.confidence,
            score=segment.merit.score,
            first=segment.first,
            last=segment.last,
        )
        for segment in clip.segments
    )
