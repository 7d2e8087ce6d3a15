"""Active learning by a score: the unlabelled image with the highest comes next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.strategy import Strategy
from numpy.typing import NDArray

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.strategies.candidates import unlabelled_images
from fetal_monai.apps.label.strategies.frame_memory import SPREAD, FrameMemory, Said
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor, ReadFailure

POOL = 16
"""Images that the model is asked about at most in one request."""


class ScoredStrategy(Strategy):
    """Offer the unlabelled image with the highest score.

    A clip's score is the highest among a few of its frames, and that frame is offered. Each request asks the model
    about a limited number of further images, in an order that is random but fixed, and what it said is remembered until
    another model is served. Every image is offered once before any is offered again; those passed over longest ago then
    come first. The order in which the datastore lists images plays no part.

    Args:
        served: the model.
        description: what comes first, for `/info/`.
    """

    def __init__(self, served: ServedPredictor, description: str) -> None:
        super().__init__(description)
        self._memory = FrameMemory(served, self.ask)

    @abstractmethod
    def ask(self, predictor: Predictor, references: list[FrameRef]) -> Iterable[Said | ReadFailure]:
        """Ask the model about frames.

        Args:
            predictor: the model.
            references: the frames.

        Returns:
            What it says of each, an array of one shape, or why it cannot.
        """

    @abstractmethod
    def score(
        self, said: Said, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> NDArray[np.float64]:
        """Score frames.

        Args:
            said: (N, ...) what the model said of each.
            images: (N,) of which they are.
            request: as in `__call__`.
            datastore: the images.

        Returns:
            (N,), the higher the sooner.
        """

    def __call__(self, request: dict[str, Any], datastore: UltrasoundDatastore) -> dict[str, Any] | None:
        """Choose an image.

        Args:
            request: `strategy`, the name it was asked for by; `pool` (optional), how many images to look at anew.
            datastore: the images.

        Returns:
            `id`, `frame` and `weight` (the score), or None when nothing is left to label.

        Raises:
            InputError: if `pool` is no number.
        """
        return self.choose(unlabelled_images(request, datastore), request, datastore)

    def choose(
        self, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> dict[str, Any] | None:
        """Choose among some images; see `__call__`."""
        known = self._memory.recall(dict.fromkeys(images, SPREAD), datastore, pool_of(request))
        places = [(image_id, frame) for image_id in sorted(known) for frame in known[image_id]]
        if not places:
            return None
        said = np.stack([known[image_id][frame] for image_id, frame in places])
        scores = self.score(said, [image_id for image_id, _ in places], request, datastore).tolist()

        def order(item: tuple[tuple[str, int], float]) -> tuple[int, float, str, int]:
            (image_id, frame), score = item
            return offered_at(image_id, request, datastore), -score, image_id, frame

        (image_id, frame), score = min(zip(places, scores, strict=True), key=order)
        return {"id": image_id, "frame": frame, "weight": score}


def pool_of(request: dict[str, Any]) -> int:
    """Tell how many images the model may be asked about.

    Args:
        request: `pool` (optional).

    Returns:
        A number of images.

    Raises:
        InputError: if `pool` is no number.
    """
    pool = request.get("pool", POOL)
    if not isinstance(pool, int):
        raise InputError("active learning", [f"pool is {pool!r}; give a whole number of images"])
    return pool


def offered_at(image_id: str, request: dict[str, Any], datastore: UltrasoundDatastore) -> int:
    """Tell when an image was last offered by this strategy; MONAI Label notes it.

    Args:
        image_id: of the image.
        request: `strategy`, the name it was asked for by.
        datastore: the images.

    Returns:
        Seconds since 1970, 0 if never.
    """
    offers = datastore.get_image_info(image_id).get("strategy", {})
    return int(offers.get(request["strategy"], {}).get("ts", 0))
