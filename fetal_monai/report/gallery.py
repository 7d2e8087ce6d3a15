"""The errors that a model was surest of, with what each branch looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike

import numpy as np

from fetal_monai.dicom import FrameRef, UltrasoundReader
from fetal_monai.inference.views import loaded_image, prepare_and_show
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.model.folder import load_model
from fetal_monai.report.explain import BranchExplainer, Faithfulness, faithfulness, overlay
from fetal_monai.report.pictures import data_uri, thumbnail

MOST_ERRORS = 8


@dataclass(frozen=True)
class ExplainedError:
    """One wrong prediction.

    Args:
        name: UID and frame.
        true: the annotated class.
        predicted: the predicted one.
        confidence: probability of the predicted class, 0 to 1.
        picture: the frame as the network saw it, cropped and masked, as a data URI.
        overlays: by branch, that picture with the Grad-CAM of the predicted class.
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
    explain, reader = BranchExplainer(network), UltrasoundReader()
    explained = []
    for row in rows:
        loaded = loaded_image(*reader.get_data(frames[predictions.keys[row]]))
        views, picture = prepare_and_show(preprocessing, loaded)
        image, shallow = views["image"][None], views["image_shallow"][None] if "image_shallow" in views else None
        predicted = int(predictions.predicted[row])
        maps = explain(image, shallow, predicted)
        uid, number = predictions.keys[row]
        explained.append(
            ExplainedError(
                uid if number < 0 else f"{uid}, frame {number}",
                predictions.class_names[int(predictions.labels[row])],
                predictions.class_names[predicted],
                float(predictions.confidence[row]),
                data_uri(thumbnail(picture)),
                {name: data_uri(thumbnail(overlay(picture, saliency))) for name, saliency in maps.items()},
                faithfulness(network, image, maps.get("detailed", next(iter(maps.values()))), predicted),
            )
        )
    return explained
