"""DenseNet-121, 169 and 201 as backbones: MONAI's network without its classifier."""

from __future__ import annotations

import torch
from monai.networks.nets import DenseNet
from torch import nn

from fetal_monai.networks.errors import unknown_backbone
from fetal_monai.utils.serialization import Recorded

_BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


class DenseNetBackbone(Recorded, DenseNet):
    """DenseNet up to its last normalisation and ReLU (Huang et al. 2017, arXiv 1608.06993), 2D, growth rate 32.

    Args:
        depth: 121, 169 or 201.
        in_channels: channels of the image.

    Attributes:
        architecture: the name under which weights are published, such as "densenet201".
        out_channels: channels of the feature map: 1024, 1664 or 1920.

    Raises:
        FetalMonaiError: if `depth` is unknown.

    Example:
        >>> backbone = DenseNetBackbone(121).eval()
        >>> backbone(torch.zeros(1, 3, 96, 128)).shape
        torch.Size([1, 1024, 3, 4])
    """

    def __init__(self, depth: int, *, in_channels: int = 3) -> None:
        if depth not in _BLOCKS:
            raise unknown_backbone("DenseNet depth", depth, _BLOCKS)
        super().__init__(spatial_dims=2, in_channels=in_channels, out_channels=1, block_config=_BLOCKS[depth])
        self.architecture = f"densenet{depth}"
        self.out_channels: int = self.features.norm5.num_features  # type: ignore[union-attr,assignment]
        del self.class_layers

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map float (B, in_channels, H, W) to (B, out_channels, H / 32, W / 32), sides rounded down after the stem."""
        return nn.functional.relu(self.features(image))
