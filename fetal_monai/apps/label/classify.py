"""Suggestions: MONAI Label's infer task and active learning on the one `Predictor`."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.strategy import Strategy

from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.image_sources import ImageFile, describe_file
from fetal_monai.apps.label.versions import ModelVersions
from fetal_monai.dicom import FrameRef
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import DicomReadError, FetalMonaiError, InputError
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.model.facts import NOTICE

CLIP_FRAMES = 5
"""Frames of a clip that stand for it in active learning, evenly spread."""

POOL = 16
"""Images whose entropy is computed anew at most in one request."""


logger = logging.getLogger(__name__)


class ServedPredictor:
    """The `Predictor` of the version that is served now; a newly promoted one is loaded with the next request.

    Args:
        versions: which model that is.
    """

    def __init__(self, versions: ModelVersions) -> None:
        self.versions = versions
        self._lock = threading.Lock()
        self._number = versions.served()
        self._predictor = Predictor(versions.folder(self._number))
        self.class_names = self._predictor.class_names

    def get(self) -> tuple[int, Predictor]:
        """Give the number of the served version, and its predictor."""
        with self._lock:
            number = self.versions.served()
            if number != self._number:
                self._predictor, self._number = Predictor(self.versions.folder(number)), number
            return self._number, self._predictor


class PlaneInferTask(InferTask):
    """Classify one frame: `POST /infer/MODEL?image=ID` with params `{"frame": N}` for clips.

    The answer has `prediction`, the list that MONAI Label's `ClassificationWriter` gives ({idx, label, score}), beside
    all of `Prediction.to_dict`.

    Args:
        served: the model.
    """

    def __init__(self, served: ServedPredictor) -> None:
        super().__init__(
            type=InferType.CLASSIFICATION,
            labels=list(served.class_names),
            dimension=2,
            description="Planes of fetal ultrasound, frame by frame. " + NOTICE,
        )
        self._served = served

    def is_valid(self) -> bool:
        """Whether the task can run: always, for without a model the app does not start."""
        return True

    def info(self) -> dict[str, Any]:
        """Describe the task and the served version."""
        number, predictor = self._served.get()
        return {**super().info(), "version": number, "identity": predictor.identity.version}

    def __call__(self, request: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        """Classify.

        Args:
            request: `image`, the path of a file; `frame`, zero-based, -1 for a still. Clients that know no frames, such
                as MONAI Label's batch inference, get a clip's middle one.

        Returns:
            No label file, and the result.

        Raises:
            HTTPException: 422 if there is no such frame, or it cannot be read.
        """
        try:
            image = describe_file(str(request["image"]))
            frame = int(request["frame"]) if "frame" in request else (image.frames - 1) // 2
            reference = image.reference(frame)
        except (TypeError, ValueError):
            raise HTTPException(422, f"frame {request.get('frame')!r} is no number; use 0, 1, ... or -1") from None
        except FetalMonaiError as error:
            raise HTTPException(422, str(error)) from error
        number, predictor = self._served.get()
        found = next(iter(predictor.predict([reference])))
        if isinstance(found, ReadFailure):
            raise HTTPException(422, found.message)
        result = found.to_dict()
        del result["source"]  # where files lie on the server is no client's business
        scores = [
            {"idx": index, "label": name, "score": float(score)}
            for index, (name, score) in enumerate(zip(found.class_names, found.probabilities, strict=True))
        ]
        return None, {"prediction": scores, **result, "version": number, "notice": NOTICE}


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
        unlabelled = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        pool = request.get("pool", POOL)
        if not isinstance(pool, int):
            raise InputError("active learning", [f"pool is {pool!r}; give a whole number of images"])
        self._score(unlabelled, datastore, pool)
        known = [(image_id, score) for image_id in unlabelled if (score := self._scores.get(image_id)) is not None]
        if not known:
            return None

        def order(item: tuple[str, tuple[float, int]]) -> tuple[int, float, str]:
            offered = datastore.get_image_info(item[0]).get("strategy", {}).get(request["strategy"], {})
            return int(offered.get("ts", 0)), -item[1][0], item[0]

        image_id, (entropy, frame) = min(known, key=order)
        return {"id": image_id, "frame": frame, "weight": entropy}

    def _score(self, unlabelled: list[str], datastore: UltrasoundDatastore, pool: int) -> None:
        number, predictor = self._served.get()
        if number != self._number:
            self._scores, self._number = {}, number
        fresh = sorted((image_id for image_id in unlabelled if image_id not in self._scores), key=_shuffled)
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
