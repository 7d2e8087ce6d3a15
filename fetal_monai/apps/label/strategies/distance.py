"""Active learning by distance to what is labelled: k-centre greedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.apps.label.classify import ServedPredictor
from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.strategies.frame_memory import Said
from fetal_monai.apps.label.strategies.scored import ScoredStrategy, offered_at, pool_of
from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.metrics.acquisition import nearest_distances


class DistanceToLabelled(ScoredStrategy):
    """Offer the unlabelled image whose nearest labelled image is farthest, in the features that the head sees.

    This is k-centre greedy (Sener and Savarese, ICLR 2018). What this strategy has offered counts as labelled, so that
    several people, or one who skips, are not given the same kind of image again and again. While there is neither, the
    image farthest from the mean of those looked at comes first.

    Of images that were labelled before the server began, each request looks at as many anew as of the others.

    Args:
        served: the model; its network has `forward_features`.
    """

    def __init__(self, served: ServedPredictor) -> None:
        super().__init__(served, "Unlabelled images that are least like the labelled ones come first")

    @staticmethod
    def fits(network: torch.nn.Module) -> bool:
        """Tell whether a network gives its features."""
        return hasattr(network, "forward_features")

    def ask(self, predictor: Predictor, references: list[FrameRef]) -> Iterator[Said | ReadFailure]:
        """Ask for the features that the head sees, (D,) float32: of 10 000 images they take 100 MB."""
        for found in predictor.look_inside(references, _features):
            yield found if isinstance(found, ReadFailure) else found.astype(np.float32)

    def score(
        self, said: Said, images: list[str], request: dict[str, Any], datastore: UltrasoundDatastore
    ) -> NDArray[np.float64]:
        """Euclidean distance to the nearest frame that is labelled or, but for the image itself, was offered."""
        labelled = self._labelled(request, datastore)
        offered = np.array([offered_at(image_id, request, datastore) > 0 for image_id in images])
        centre = said.mean(axis=0, keepdims=True)
        scores = np.zeros(len(said))
        for group, centres in ((offered, labelled), (~offered, [*labelled, *said[offered]])):
            if group.any():
                scores[group] = nearest_distances(said[group], centres if len(centres) else centre)
        return scores

    def _labelled(self, request: dict[str, Any], datastore: UltrasoundDatastore) -> list[Said]:
        labels = datastore.labels(request.get("label_tag") or FINAL)
        chosen = datastore.get_labeled_images(request.get("label_tag"), request.get("labels"))
        wanted = {image_id: sorted(labels[image_id].frames) for image_id in chosen if image_id in labels}
        known = self._memory.recall(wanted, datastore, pool_of(request))
        return [features for image_id in sorted(known) for features in known[image_id].values()]


def _features(network: Any, views: list[torch.Tensor]) -> torch.Tensor:
    features: torch.Tensor = network.forward_features(*views)
    return features
