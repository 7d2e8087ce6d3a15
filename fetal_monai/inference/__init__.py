"""Predictions of a trained model folder: the one path that the command line, servers and reports use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetal_monai.inference.prediction import ModelIdentity, Prediction, ReadFailure

if TYPE_CHECKING:
    from fetal_monai.inference.predictor import Predictor

__all__ = ["ModelIdentity", "Prediction", "Predictor", "ReadFailure"]


def __getattr__(name: str) -> Any:
    # The predictor needs torch and MONAI, which take seconds to import; what it returns does without them.
    if name == "Predictor":
        from fetal_monai.inference.predictor import Predictor  # noqa: PLC0415

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
