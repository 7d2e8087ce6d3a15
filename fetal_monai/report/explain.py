"""Which parts of a frame spoke for a class: Grad-CAM of each branch, and a check that the maps mean something."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from monai.visualize.class_activation_maps import GradCAM
from numpy.typing import NDArray

from fetal_monai.networks.mirror_images import one_pass

Map = NDArray[np.float32]
STEPS = 8  # of removing pixels; the areas are averages, which need no finer ones
OPACITY = 0.6


class BranchExplainer:
    """Grad-CAM (Selvaraju et al., ICCV 2017) at the feature map of each backbone, by MONAI.

    Args:
        network: has one or more children whose names start with `backbone` and return feature maps (B, K, h, w), as
            `DualBranchClassifier` and `SingleBranchClassifier` have. It is put into evaluation mode and gets hooks:
            give it a copy if it is to be trained on. Of a network that averages mirror images it explains the pass of
            the image as it is.

    Raises:
        ValueError: if the network has no backbone.

    Example:
        >>> from fetal_monai.networks import DualBranchClassifier, ResNetBackbone
        >>> network = DualBranchClassifier(3, ResNetBackbone(18), ResNetBackbone(18), shallow_size=(64, 64))
        >>> maps = BranchExplainer(network)(torch.rand(1, 3, 96, 128), None, 2)
        >>> {name: saliency.shape for name, saliency in maps.items()}
        {'shallow': (2, 2), 'detailed': (3, 4)}
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._layers = [name for name, _ in network.named_children() if name.startswith("backbone")]
        if not self._layers:
            raise ValueError(f"{type(network).__name__} has no backbone; Grad-CAM needs a feature map to look at")
        self._cam = GradCAM(one_pass(network.eval()), self._layers)  # type: ignore[arg-type]  # one name or several

    def __call__(self, image: torch.Tensor, image_shallow: torch.Tensor | None, class_index: int) -> dict[str, Map]:
        """Explain one class of one image.

        Args:
            image: (1, 3, H, W), the detailed view.
            image_shallow: (1, 3, h, w), the shallow view; None derives it from `image`.
            class_index: whose logit to explain.

        Returns:
            By branch (`shallow`, `detailed`, or `image` of a single one), (h, w) float32 from 0 to 1, at the feature
            map's own size; all 0 where nothing speaks for the class.
        """
        # Inputs that need gradients let the hooks of frozen backbones fire, too.
        views = [None if view is None else view.detach().clone().requires_grad_() for view in (image, image_shallow)]
        maps = {}
        for index, layer in enumerate(self._layers):
            raw = self._cam.compute_map(views[0], class_index, layer_idx=index, image_shallow=views[1])
            values = raw[0, 0].detach().float().cpu().numpy()
            peak = float(values.max())
            maps[layer.removeprefix("backbone").strip("_") or "image"] = values / peak if peak > 0 else values
        return maps


def overlay(frame: NDArray[np.uint8], saliency: Map) -> NDArray[np.uint8]:
    """Lay a map over the frame that it explains; both show the same field of view.

    Args:
        frame: (H, W, 3) uint8 RGB.
        saliency: (h, w) from 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB: the frame where the map is 0, coloured in the viridis scale towards 1.

    Example:
        >>> overlay(np.full((4, 4, 3), 100, np.uint8), np.zeros((2, 2), np.float32)).max()
        np.uint8(100)
    """
    height, width = frame.shape[:2]
    large = cv2.resize(saliency.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = cv2.applyColorMap(np.rint(large * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    weight = (large * OPACITY)[..., None]
    return np.asarray(np.rint(frame * (1 - weight) + colours * weight), dtype=np.uint8)


@dataclass(frozen=True)
class Faithfulness:
    """Mean probability of the class while pixels are removed or brought back (Petsiuk et al., "RISE", BMVC 2018).

    Args:
        deletion: most salient pixels blurred away first; low if the map points at what matters.
        insertion: most salient pixels brought back first; high if it does.
        random_deletion: the same with the map's cells in random order.
        random_insertion: likewise.
    """

    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float


@torch.no_grad()
def faithfulness(
    network: torch.nn.Module, image: torch.Tensor, saliency: Map, class_index: int, *, steps: int = STEPS, seed: int = 0
) -> Faithfulness:
    """Check a map by what the network says when the pixels that it marks are gone.

    Args:
        network: maps (B, 3, H, W) alone to logits, in evaluation mode.
        image: (1, 3, H, W).
        saliency: (h, w) map; only the order of its values matters.
        class_index: whose probability is watched.
        steps: how finely the pixels are removed.
        seed: of the random order.

    Returns:
        The four areas, each in [0, 1].
    """
    size = image.shape[-2:]
    blurred = torch.from_numpy(cv2.GaussianBlur(image[0].permute(1, 2, 0).cpu().numpy(), (0, 0), max(size) / 20))
    blurred = blurred.permute(2, 0, 1)[None].to(image)
    shuffled = np.random.default_rng(seed).permutation(saliency.ravel()).reshape(saliency.shape)
    areas = []
    for order in (saliency, shuffled):
        ranks = _ranks(order, (int(size[0]), int(size[1]))).to(image.device)
        shares = torch.arange(steps + 1, device=image.device) / steps
        marked = ranks[None, None] < shares[:, None, None, None]
        for start, end in ((image, blurred), (blurred, image)):
            probabilities = network(torch.where(marked, end, start)).softmax(dim=1)[:, class_index]
            areas.append(float(torch.trapezoid(probabilities, shares)))
    deletion, insertion, random_deletion, random_insertion = areas
    return Faithfulness(deletion, insertion, random_deletion, random_insertion)


def _ranks(saliency: Map, size: tuple[int, int]) -> torch.Tensor:
    """(H, W) share of pixels that are more salient than each, ties broken by position."""
    large = cv2.resize(saliency.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    ranks = np.empty(large.size, dtype=np.float32)
    ranks[np.argsort(-large.ravel(), kind="stable")] = np.arange(large.size) / large.size
    return torch.from_numpy(ranks.reshape(size))
