"""ResNet-18, 34 and 50 as backbones: MONAI's network with torchvision's keys, without its classifier."""

from __future__ import annotations

import torch
from monai.networks.nets import ResNet, ResNetBlock, ResNetBottleneck

from fetal_monai.networks.errors import unknown_backbone
from fetal_monai.utils.serialization import Recorded

_LAYERS: dict[int, tuple[type[ResNetBlock | ResNetBottleneck], list[int]]] = {
    18: (ResNetBlock, [2, 2, 2, 2]),
    34: (ResNetBlock, [3, 4, 6, 3]),
    50: (ResNetBottleneck, [3, 4, 6, 3]),
}


class ResNetBackbone(Recorded, ResNet):
    """ResNet up to its last stage (He et al. 2015, arXiv 1512.03385), 2D, laid out as torchvision's.

    Args:
        depth: 18, 34 or 50.
        in_channels: channels of the image.

    Attributes:
        architecture: the name under which weights are published, such as "resnet18".
        out_channels: channels of the feature map: 512, or 2048 for ResNet-50.

    Raises:
        FetalMonaiError: if `depth` is unknown.

    Example:
        >>> backbone = ResNetBackbone(18).eval()
        >>> backbone(torch.zeros(1, 3, 96, 128)).shape
        torch.Size([1, 512, 3, 4])
    """

    def __init__(self, depth: int, *, in_channels: int = 3) -> None:
        if depth not in _LAYERS:
            raise unknown_backbone("ResNet depth", depth, _LAYERS)
        block, layers = _LAYERS[depth]
        super().__init__(
            block=block,
            layers=layers,
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.architecture = f"resnet{depth}"
        self.out_channels = 512 * block.expansion

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map float (B, in_channels, H, W) to (B, out_channels, ceil(H / 32), ceil(W / 32))."""
        x = self.maxpool(self.act(self.bn1(self.conv1(image))))
        features: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features
