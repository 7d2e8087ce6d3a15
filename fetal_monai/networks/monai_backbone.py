"""Any network of MONAI that returns a feature map, as a backbone."""

from __future__ import annotations

from typing import Any

import monai.networks.nets
import torch
from torch import nn

from fetal_monai.networks.errors import unknown_backbone
from fetal_monai.utils.serialization import Recorded


class MonaiBackbone(Recorded, nn.Module):
    """A network of `monai.networks.nets` by its name, so that a model folder can record it.

    Args:
        network: the class, such as "EfficientNetBNFeatures" or "ResNetFeatures".
        out_channels: channels of the (last) feature map that it returns.
        **kwargs: the arguments of the class, plain values.

    Raises:
        FetalMonaiError: if MONAI has no such network.

    Example:
        >>> backbone = MonaiBackbone(
        ...     "ResNetFeatures", 512, model_name="resnet10", pretrained=False, spatial_dims=2, in_channels=3
        ... )
        >>> backbone(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 512, 2, 3])
    """

    def __init__(self, network: str, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        known = [name for name in dir(monai.networks.nets) if isinstance(getattr(monai.networks.nets, name), type)]
        if network not in known:
            raise unknown_backbone("MONAI network", network, known)
        self.network = getattr(monai.networks.nets, network)(**kwargs)
        self.out_channels = out_channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map float (B, in_channels, H, W) to the last feature map, (B, out_channels, h, w)."""
        features = self.network(image)
        if isinstance(features, torch.Tensor):
            return features
        last: torch.Tensor = features[-1]
        return last
