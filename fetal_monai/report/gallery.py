"""The errors that a model was surest of, with what each branch looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from monai.data import MetaTensor

from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.metrics.predictions import Predictions
from fetal_monai.model_folder import load_model
from fetal_monai.report.explain import BranchExplainer, Faithfulness, faithfulness, overlay
from fetal_monai.report.pictures import data_uri, read_frame, thumbnail

MOST_ERRORS = 8


@dataclass(frozen=True)
class ExplainedError:
    """One wrong prediction.

    Args:
        name: UID and frame.
        true: the annotated class.
        predicted: the predicted one.
        confidence: probability of the predicted class, 0 to 1.
        picture: the frame, as a data URI.
        overlays: by branch, the frame with the Grad-CAM of the predicted class.
        check: whether removing what the maps mark changes the prediction.
    """

    name: str
    true: str
    predicted: str
    confidence: float
    picture: str
    overlays: dict[str, str]
    check: Faithfulness


def confident_errors(predictions: Predictions, most: int = MOST_ERRORS) -> list[int]:
    """Rows of the wrong predictions, the most confident first.

    Args:
        predictions: labelled images.
        most: how many at most.

    Returns:
        Row indices.
    """
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    order = np.argsort(-predictions.confidence[wrong], kind="stable")
    return [int(row) for row in wrong[order][:most]]


def explain_errors(
    predictions: Predictions,
    frames: Mapping[tuple[str, int], FrameRef],
    model_dir: str | PathLike[str],
    most: int = MOST_ERRORS,
) -> list[ExplainedError]:
    """Explain the most confident errors by Grad-CAM of each branch.

    Args:
        predictions: labelled images; those not in `frames` are passed over.
        frames: where each image can be read.
        model_dir: the model folder whose network made the predictions.
        most: how many errors at most.

    Returns:
        The errors, the most confident first.

    Raises:
        InputError: if the model folder is incomplete.
        DicomReadError: if an image cannot be read.
    """
    rows = [row for row in confident_errors(predictions, len(predictions)) if predictions.keys[row] in frames][:most]
    if not rows:
        return []
    network, preprocessing, _ = load_model(model_dir)
    explain = BranchExplainer(network)
    explained = []
    for row in rows:
        frame = read_frame(frames[predictions.keys[row]])
        views = preprocessing({"image": MetaTensor(torch.from_numpy(frame).permute(2, 0, 1))})
        image = torch.as_tensor(views["image"]).as_subclass(torch.Tensor)[None]
        shallow = views.get("image_shallow")
        shallow = None if shallow is None else torch.as_tensor(shallow).as_subclass(torch.Tensor)[None]
        predicted = int(predictions.predicted[row])
        maps = explain(image, shallow, predicted)
        uid, number = predictions.keys[row]
        explained.append(
            ExplainedError(
                uid if number < 0 else f"{uid}, frame {number}",
                predictions.class_names[int(predictions.labels[row])],
                predictions.class_names[predicted],
                float(predictions.confidence[row]),
                data_uri(thumbnail(frame)),
                {name: data_uri(thumbnail(overlay(frame, saliency))) for name, saliency in maps.items()},
                faithfulness(network, image, maps.get("detailed", next(iter(maps.values()))), predicted),
            )
        )
    return explained
