"""What spoke for the best images of a study: a map over each, from the model that chose them."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.dicom import FrameRef
from fetal_monai.inference.inputs import decode_frame
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.inference.views import loaded_image, prepare_and_show
from fetal_monai.report.explain import BranchExplainer, Map, overlay


class StudyExplainer:
    """Explains predictions by Grad-CAM, the mean of all branches; `write_study_page` takes one.

    Args:
        predictor: the model that made the predictions. It stays as it is: a copy of its network is explained.

    Raises:
        ValueError: if its network has no backbone.

    Example:
        >>> explain = StudyExplainer(Predictor())  # doctest: +SKIP
        >>> write_study_page(study, checklist, "study.html", explain=explain)  # doctest: +SKIP
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._explain = BranchExplainer(copy.deepcopy(predictor.network))

    def __call__(self, prediction: Prediction, plane: str) -> NDArray[np.uint8] | None:
        """Explain why an image may show a plane.

        Args:
            prediction: of the image, which is read again.
            plane: one of its classes.

        Returns:
            (H, W, 3) uint8 RGB: the image as the network sees it, cropped and masked, coloured where it speaks for the
            plane; None if nothing does, or if the image can no longer be read.
        """
        frame = decode_frame(FrameRef(prediction.source, prediction.frame))
        if isinstance(frame, ReadFailure):
            return None
        image = loaded_image(torch.from_numpy(frame.pixels), frame.meta)
        views, picture = prepare_and_show(self._predictor.preprocessing, image)
        batch = {name: view[None].to(self._predictor.device) for name, view in views.items()}
        column = prediction.class_names.index(plane)
        saliency = _mean(self._explain(batch["image"], batch.get("image_shallow"), column), picture.shape)
        return None if saliency is None else overlay(picture, saliency)


def _mean(maps: dict[str, Map], shape: tuple[int, ...]) -> Map | None:
    """Of the branches that have something to say, at the size of the picture and up to 1."""
    size = (shape[1], shape[0])
    large = [cv2.resize(values, size, interpolation=cv2.INTER_CUBIC) for values in maps.values() if values.any()]
    if not large:
        return None
    mean = np.mean(large, axis=0).clip(0, None)
    return np.asarray(mean / mean.max(), dtype=np.float32)
