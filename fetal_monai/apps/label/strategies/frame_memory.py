"""What the served model says of frames, computed once for each of its versions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.strategies.candidates import shuffled, spread_frames
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import DicomReadError
from fetal_monai.inference import Predictor, ReadFailure

Said: TypeAlias = NDArray[np.floating[Any]]
Ask: TypeAlias = Callable[[Predictor, list[FrameRef]], Iterable[Said | ReadFailure]]
SPREAD: Sequence[int] = ()
"""In place of frames: those that stand for the image."""

logger = logging.getLogger(__name__)


class FrameMemory:
    """Ask the model about frames, a limited number of images at a time, and remember what it said.

    Args:
        served: the model.
        ask: asks it about frames, in their order.
    """

    def __init__(self, served: ServedPredictor, ask: Ask) -> None:
        self._served = served
        self._ask = ask
        self._lock = threading.Lock()
        self._number = -1
        self._said: dict[str, dict[int, Said | None]] = {}  # None where it cannot be read or classified
        self._spread: dict[str, Sequence[int]] = {}  # known once the image was opened

    def recall(
        self, wanted: Mapping[str, Sequence[int]], datastore: UltrasoundDatastore, limit: int
    ) -> dict[str, dict[int, Said]]:
        """Tell what is known of frames, after asking about some that are not known yet.

        Args:
            wanted: the frames of each image, or `SPREAD`.
            datastore: the images.
            limit: images that are asked about at most, in an order that is random but fixed.

        Returns:
            For each image of which something is known, what the model said by frame. Images that cannot be read are
            not among them, nor tried again.
        """
        with self._lock:
            number, predictor = self._served.get()
            if number != self._number:
                self._said, self._number = {}, number
            fresh = sorted((key for key, frames in wanted.items() if not self._knows(key, frames)), key=shuffled)
            asked = [place for key in fresh[: max(limit, 0)] for place in self._places(key, wanted[key], datastore)]
            answers = self._ask(predictor, [reference for _, _, reference in asked])
            for (key, frame, _), said in zip(asked, answers, strict=True):
                if isinstance(said, ReadFailure):
                    logger.warning("%s: %s", key, said.message)
                self._said[key][frame] = None if isinstance(said, ReadFailure) else said
            known = {key: self._of(key, frames) for key, frames in wanted.items()}
        return {key: said for key, said in known.items() if said}

    def _knows(self, key: str, frames: Sequence[int]) -> bool:
        frames = frames or self._spread.get(key, SPREAD)
        return key in self._said and all(frame in self._said[key] for frame in frames)

    def _places(
        self, key: str, frames: Sequence[int], datastore: UltrasoundDatastore
    ) -> list[tuple[str, int, FrameRef]]:
        said, places = self._said.get(key, {}), list[tuple[str, int, FrameRef]]()
        try:
            image = datastore.image(key)
            self._spread[key] = spread_frames(image)
            frames = frames or self._spread[key]
            places = [(key, frame, image.reference(frame)) for frame in frames if frame not in said]
        except DicomReadError as error:
            logger.warning("%s is not offered: %s", key, error)
            said.update(dict.fromkeys(frames))
        self._said[key] = said  # not where an archive does not answer: the next request tries again
        return places

    def _of(self, key: str, frames: Sequence[int]) -> dict[int, Said]:
        said = self._said.get(key, {})
        places = {frame: said.get(frame) for frame in frames or self._spread.get(key, SPREAD)}
        return {frame: value for frame, value in places.items() if value is not None}
