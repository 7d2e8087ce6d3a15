"""Active learning: which image or frame is labelled next."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.strategy import Strategy

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.apps.label.key_frames import ClipKeyFrames
from fetal_monai.dicom import FrameRef
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import DicomReadError, InputError
from fetal_monai.inference import ReadFailure

CLIP_FRAMES = 5
"""Frames of a clip that stand for it in active learning, evenly spread."""

POOL = 16
"""Images whose entropy is computed anew at most in one request."""

TRIES = 3
"""Clips that one request tries at most to find one that can be analysed."""

CLIENTS = 100
"""Clients whose clip in turn is remembered."""

logger = logging.getLogger(__name__)


class KeyFrames(Strategy):
    """Offer the key frames of clips without a label, clip after clip; then the stills, by entropy.

    A clip is offered as a whole, key frame by key frame, although it counts as labelled after the first; frames that
    have a label already are left out. A clip without a key frame is offered at its middle. Clips come in an order that
    is random but fixed. Every frame is offered once before any is offered again; those passed over longest ago then
    come first. Clients that send a `client_id` are given different clips, because a client sends all labels of an image
    at once and would undo what another has just said of the same clip.

    Args:
        key_frames: of clips.
        stills: for the images that are no clips.
    """

    def __init__(self, key_frames: ClipKeyFrames, stills: PredictiveEntropy) -> None:
        super().__init__("Key frames of unlabelled clips come first, then the stills that the model is least sure of")
        self._key_frames = key_frames
        self._stills = stills
        self._turns: dict[str, tuple[str, deque[tuple[int, float]]]] = {}  # by client, the clip and what is left of it
        self._offered: dict[str, int] = {}  # when an image was last begun, counted in offers
        self._count = itertools.count()
        self._unusable: set[str] = set()

    def __call__(self, request: dict[str, Any], datastore: UltrasoundDatastore) -> dict[str, Any] | None:
        """Choose an image and a frame.

        Args:
            request: `strategy`, the name it was asked for by; optional are `client_id`, and `pool` as for
                `PredictiveEntropy`.
            datastore: the images.

        Returns:
            `id`, `frame` and `weight` (the key frame's score, the still's entropy), or None when nothing is left.

        Raises:
            InputError: if `pool` is no number.
        """
        client = str(request.get("client_id") or "")
        if offer := self._go_on(client, request, datastore):
            return offer
        unlabelled = [key for key in unlabelled_images(request, datastore) if key not in self._unusable]
        clips = set(datastore.list_clips())
        fresh = [key for key in unlabelled if key not in self._offered]
        for image_id in sorted((key for key in fresh if key in clips), key=_shuffled)[:TRIES]:
            if offer := self._begin(image_id, client, request, datastore):
                return offer
        if offer := self._stills.choose([key for key in fresh if key not in clips], request, datastore):
            self._offered[offer["id"]] = next(self._count)
            return offer
        for image_id in sorted((key for key in unlabelled if key in self._offered), key=self._offered.__getitem__):
            if offer := self._begin(image_id, client, request, datastore):
                return offer
        return None

    def _go_on(self, client: str, request: dict[str, Any], datastore: UltrasoundDatastore) -> dict[str, Any] | None:
        """The next key frame of the clip in turn, if one is left."""
        image_id, left = self._turns.get(client, ("", deque()))
        labels = datastore.labels(request.get("label_tag") or FINAL).get(image_id)
        while left and image_id in datastore.list_images():
            frame, weight = left.popleft()
            if labels is None or frame not in labels.frames:
                return {"id": image_id, "frame": frame, "weight": weight}
        return None

    def _begin(
        self, image_id: str, client: str, request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> dict[str, Any] | None:
        """The first frame of an image, whose turn it is now."""
        try:
            frames = self._frames(datastore.image(image_id))
        except DicomReadError as error:
            logger.warning("%s is not offered: %s", image_id, error)
            self._unusable.add(image_id)
            return None
        self._offered[image_id] = next(self._count)
        self._turns.pop(client, None)
        self._turns[client] = image_id, deque(frames)
        if len(self._turns) > CLIENTS:
            del self._turns[next(iter(self._turns))]
        return self._go_on(client, request, datastore)

    def _frames(self, image: ImageFile) -> list[tuple[int, float]]:
        if image.frames == 1:
            return [(STILL, 0.0)]
        found = self._key_frames.find(image)
        return [(key.frame, key.score) for key in found] or [((image.frames - 1) // 2, 0.0)]


class PredictiveEntropy(Strategy):
    """Offer the unlabelled image that the model is least sure of (Settles, 2009, section 3.1: uncertainty sampling).

    The score is the entropy of the probabilities in nats; a clip's is the highest among a few of its frames, and that
    frame is offered. Each request scores a limited number of images anew, in an order that is random but fixed, and
    remembers the scores until another model is served. Every image is offered once before any is offered again.

    Args:
        served: the model.
    """

    def __init__(self, served: ServedPredictor) -> None:
        super().__init__("Unlabelled images that the model is least sure of come first")
        self._served = served
        self._scores: dict[str, tuple[float, int] | None] = {}
        self._number = -1

    def __call__(self, request: dict[str, Any], datastore: UltrasoundDatastore) -> dict[str, Any] | None:
        """Choose an image.

        Args:
            request: `strategy`, the name it was asked for by; `pool` (optional), how many images to score anew.
            datastore: the images.

        Returns:
            `id`, `frame` and `weight` (the entropy), or None when nothing is left to label.

        Raises:
            InputError: if `pool` is no number.
        """
        return self.choose(unlabelled_images(request, datastore), request, datastore)

    def choose(
        self, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> dict[str, Any] | None:
        """Choose among some images; see `__call__`."""
        pool = request.get("pool", POOL)
        if not isinstance(pool, int):
            raise InputError("active learning", [f"pool is {pool!r}; give a whole number of images"])
        self._score(images, datastore, pool)
        known = [(image_id, score) for image_id in images if (score := self._scores.get(image_id)) is not None]
        if not known:
            return None

        def order(item: tuple[str, tuple[float, int]]) -> tuple[int, float, str]:
            offered = datastore.get_image_info(item[0]).get("strategy", {}).get(request["strategy"], {})
            return int(offered.get("ts", 0)), -item[1][0], item[0]

        image_id, (entropy, frame) = min(known, key=order)
        return {"id": image_id, "frame": frame, "weight": entropy}

    def _score(self, images: list[str], datastore: UltrasoundDatastore, pool: int) -> None:
        number, predictor = self._served.get()
        if number != self._number:
            self._scores, self._number = {}, number
        fresh = sorted((image_id for image_id in images if image_id not in self._scores), key=_shuffled)
        scores: dict[str, tuple[float, int] | None] = {}
        chosen: list[tuple[str, FrameRef]] = []
        for image_id in fresh[: max(pool, 0)]:
            scores[image_id] = None  # stays so if nothing of it can be read: it is then never offered
            try:
                image = datastore.image(image_id)
            except DicomReadError as error:
                logger.warning("%s is not offered: %s", image_id, error)
                continue
            chosen += [(image_id, image.reference(frame)) for frame in spread_frames(image)]
        found = predictor.predict([reference for _, reference in chosen])
        for (image_id, _), item in zip(chosen, found, strict=True):
            if isinstance(item, ReadFailure):
                logger.warning("%s: %s", image_id, item.message)
                continue
            best, entropy = scores[image_id], predictive_entropy(item.probabilities)
            if best is None or entropy > best[0]:
                scores[image_id] = entropy, item.frame
        self._scores.update(scores)


def unlabelled_images(request: dict[str, Any], datastore: UltrasoundDatastore) -> list[str]:
    """List what there is left to label.

    Args:
        request: `label_tag` and `labels` (optional): the tag and the classes that count.
        datastore: the images.

    Returns:
        The ids.
    """
    return datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))


def spread_frames(image: ImageFile) -> list[int]:
    """Choose the frames that stand for an image.

    Args:
        image: a still or a clip.

    Returns:
        [-1] for a still, else up to `CLIP_FRAMES` frames, the first and the last among them.

    Example:
        >>> spread_frames(ImageFile("a.dcm", 9, "")), spread_frames(ImageFile("a.dcm", 1, ""))
        ([0, 2, 4, 6, 8], [-1])
    """
    if image.frames == 1:
        return [STILL]
    return sorted({round(float(place)) for place in np.linspace(0, image.frames - 1, CLIP_FRAMES)})


def predictive_entropy(probabilities: Iterable[float]) -> float:
    """Entropy of a distribution over classes.

    Args:
        probabilities: (C,), summing to one.

    Returns:
        Nats: 0 when one class is certain, log(C) when all are equally likely.

    Example:
        >>> predictive_entropy([1, 0]), round(predictive_entropy([0.5, 0.5]), 4)
        (0.0, 0.6931)
    """
    positive = np.array([value for value in probabilities if value > 0], dtype=np.float64)
    return float(-(positive * np.log(positive)).sum()) + 0.0


def _shuffled(image_id: str) -> str:
    return hashlib.sha256(image_id.encode()).hexdigest()
