"""Active learning by what the two branches of a network make of an image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.strategies.frame_memory import Said
from fetal_monai.apps.label.strategies.scored import ScoredStrategy
from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.metrics.acquisition import jensen_shannon_divergence


class BranchDisagreement(ScoredStrategy):
    """Offer the unlabelled image of which the coarse and the fine view tell the network different things.

    The branches are a committee of two (query by committee: Seung, Opper and Sompolinsky, 1992). Where both are unsure
    in the same way, there is no disagreement, although the entropy is high. Probabilities are not calibrated here:
    what is fitted to the fused head says nothing of its parts.

    Args:
        served: the model; its network has `branch_logits`, as `DualBranchClassifier` has.
    """

    def __init__(self, served: ServedPredictor) -> None:
        super().__init__(served, "Unlabelled images whose two views tell the model different things come first")

    @staticmethod
    def fits(network: torch.nn.Module) -> bool:
        """Tell whether a network has branches that could disagree."""
        return hasattr(network, "branch_logits")

    def ask(self, predictor: Predictor, references: list[FrameRef]) -> Iterable[Said | ReadFailure]:
        """Ask for the probabilities of both branches, (2, C)."""
        return predictor.look_inside(references, _branch_probabilities)

    def score(
        self, said: Said, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> NDArray[np.float64]:
        """Jensen-Shannon divergence in nats, 0 to log(2)."""
        del images, request, datastore
        return jensen_shannon_divergence(said[:, 0], said[:, 1])


def _branch_probabilities(network: Any, views: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(network.branch_logits(*views), dim=1).double().softmax(dim=-1)
