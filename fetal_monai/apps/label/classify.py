"""Suggestions: MONAI Label's infer task on the one `Predictor`."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from fetal_monai.apps.label.image_sources import describe_file
from fetal_monai.apps.label.versions import ModelVersions
from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.model.facts import NOTICE


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
