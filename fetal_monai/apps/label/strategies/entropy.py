"""Active learning by uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.strategies.frame_memory import Said
from fetal_monai.apps.label.strategies.scored import ScoredStrategy
from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.metrics.acquisition import predictive_entropy


class PredictiveEntropy(ScoredStrategy):
    """Offer the unlabelled image that the model is least sure of, by the entropy of its calibrated probabilities.

    Args:
        served: the model.
    """

    def __init__(self, served: ServedPredictor) -> None:
        super().__init__(served, "Unlabelled images that the model is least sure of come first")

    def ask(self, predictor: Predictor, references: list[FrameRef]) -> Iterator[Said | ReadFailure]:
        """Ask for probabilities, (C,)."""
        for found in predictor.predict(references):
            yield found if isinstance(found, ReadFailure) else found.probabilities

    def score(
        self, said: Said, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> NDArray[np.float64]:
        """Entropy in nats, 0 to log(C)."""
        del images, request, datastore
        return predictive_entropy(said)
