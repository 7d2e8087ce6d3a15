"""An engine that averages over mirror images, as the network does that it stands for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch

from fetal_monai.inference.engines.engine import Engine
from fetal_monai.inference.float32 import full_float32
from fetal_monai.networks.mirror_images import averages_flips, mean_over_mirrors, mirror_images, unsure


class MirroredEngine:
    """Lets an engine look at mirror images of those images that it is not sure of, and averages.

    A graph records what is computed, not decisions: so the engine's graph makes one pass, and what the network decides
    by `average_flips` is decided here. An image that lies on that limit to the last digits may be decided otherwise by
    another engine, whose digits are others.

    Args:
        engine: makes one pass, and gives features.
        network: whose answers are wanted, with `average_flips` and a linear `head`.

    Example:
        >>> from fetal_monai.inference.engines.eager import EagerEngine
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> from fetal_monai.networks.mirror_images import one_pass
        >>> network = SingleBranchClassifier(4, ResNetBackbone(18), average_flips=0.75).eval()
        >>> engine = MirroredEngine(EagerEngine(one_pass(network), features=True), network)
        >>> images = torch.rand(2, 3, 64, 96)
        >>> torch.allclose(engine.forward([images])[0], network(images), atol=1e-5)
        True
    """

    def __init__(self, engine: Engine, network: torch.nn.Module) -> None:
        self.name, self.lanes = engine.name, engine.lanes
        self._engine = engine
        self._limit = averages_flips(network)
        head: Any = network.head
        self._head = copy.deepcopy(head).cpu().eval()

    @torch.inference_mode()
    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Classify; see `Engine.forward`.

        Args:
            batch: the views.
        """
        logits, features = cast("tuple[torch.Tensor, torch.Tensor]", self._engine.forward(batch))
        rows = unsure(logits, self._limit)
        for some in rows.split(max(1, len(logits) // 3)) if len(rows) else ():
            mirrored = cast("torch.Tensor", self._engine.forward([mirror_images(view[some]) for view in batch])[1])
            features[some] = mean_over_mirrors(features[some], mirrored)
            with full_float32():
                logits[some] = self._head(features[some])
        return logits, features
