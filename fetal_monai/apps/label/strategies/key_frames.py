"""Active learning clip by clip: the frames that show a plane best."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.apps.label.key_frames import ClipKeyFrames
from fetal_monai.apps.label.strategies.candidates import shuffled, unlabelled_images
from fetal_monai.apps.label.strategies.entropy import PredictiveEntropy
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import DicomReadError

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
                `ScoredStrategy`.
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
        for image_id in sorted((key for key in fresh if key in clips), key=shuffled)[:TRIES]:
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
