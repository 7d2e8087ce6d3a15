"""Predictions of a trained model folder: the one path that the command line, servers and reports use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetal_monai.inference.prediction import ModelIdentity, Prediction, ReadFailure
from fetal_monai.utils.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from fetal_monai.inference.predictor import Predictor

__all__ = ["ModelIdentity", "Prediction", "Predictor", "ReadFailure"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Predictor": "fetal_monai.inference.predictor:Predictor",
        "calibrated": "fetal_monai.inference.calibrated_probabilities",  # as configurations once named it
    },
)
