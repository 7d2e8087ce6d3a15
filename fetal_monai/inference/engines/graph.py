"""The network as other engines take it: fixed views in, logits and features out, for any number of images."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Optional

import torch
from monai.transforms import Compose

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.views import loaded_image, prepare
from fetal_monai.networks.mirror_images import one_pass

_FRAMES = ((480, 640), (400, 300))  # of different shape, so that views which follow the frame are noticed
ViewShapes = dict[str, tuple[int, ...]]


class LogitsAndFeatures(torch.nn.Module):
    """A classifier with two outputs, its weights a copy: `logits` and the `features` that the head sees.

    It looks at images as they are alone, whatever the network's `average_flips`: that is left to `MirroredEngine`.

    Args:
        network: with `forward_features` and a `head`, as the classifiers of `fetal_monai.networks`.

    Raises:
        FetalMonaiError: if it is of another make.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> network = SingleBranchClassifier(4, ResNetBackbone(18)).eval()
        >>> [tuple(output.shape) for output in LogitsAndFeatures(network)(torch.zeros(2, 3, 64, 96))]
        [(2, 4), (2, 512)]
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        if not hasattr(network, "forward_features") or not hasattr(network, "head"):
            raise FetalMonaiError(
                f"the network {type(network).__name__} has no forward_features and head, which other engines than "
                "torch need; use --engine torch"
            )
        self.network: Any = copy.deepcopy(one_pass(network)).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.requires_grad_(False)
        self.eval()

    def forward(
        self,
        image: torch.Tensor,
        image_shallow: Optional[torch.Tensor] = None,  # noqa: UP045  # as the networks spell it
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map views, float (B, 3, H, W) each, to logits (B, C) and features (B, F)."""
        features = self.network.forward_features(image, image_shallow)
        return self.network.head(features), features


def view_shapes(preprocessing: Compose) -> ViewShapes:
    """Find what the network gets, by preparing an empty frame.

    Args:
        preprocessing: from a decoded frame to the network's views.

    Returns:
        (3, h, w) of each view by its name, in the order of the network's arguments.

    Raises:
        FetalMonaiError: if the views' size depends on the frame's.
    """
    found: list[ViewShapes] = []
    for size in _FRAMES:
        views = prepare(preprocessing, loaded_image(torch.zeros(3, *size, dtype=torch.uint8)))
        found.append({name: tuple(view.shape) for name, view in views.items()})
    if found[0] != found[1]:
        raise FetalMonaiError("the views have no fixed size, which other engines than torch need; use --engine torch")
    return found[0]


def probe(views: Mapping[str, tuple[int, ...]]) -> list[torch.Tensor]:
    """Two made images that are the same on every machine, to tell whether an engine computes what the network does.

    Args:
        views: the shape of each.

    Returns:
        A batch of two: float32 (2, 3, h, w) in [-1, 1] for each view, waves of rising frequency.
    """
    batch = []
    for shape in views.values():
        count = torch.Size(shape).numel()
        wave = torch.sin(torch.arange(count, dtype=torch.float64).div(count).pow(2) * 900).float().reshape(shape)
        batch.append(torch.stack([wave, wave.flip(-1) * 0.5]))
    return batch


def traced(network: torch.nn.Module, views: Mapping[str, tuple[int, ...]]) -> torch.jit.ScriptModule:
    """Record what the network does, as TorchScript, for any number of images.

    Args:
        network: as `LogitsAndFeatures` takes it.
        views: the shape of each.

    Returns:
        The TorchScript module, with the outputs of `LogitsAndFeatures`.

    Raises:
        FetalMonaiError: if the network is of another make.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that become constants: the views' are fixed
        module = LogitsAndFeatures(network)
        return torch.jit.trace(module, tuple(probe(views)), check_trace=False)  # type: ignore[no-any-return]
