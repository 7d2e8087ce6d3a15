"""EfficientNet-B0 to B7 and Lite0 as backbones: MONAI's network without its classifier, for any view size."""

from __future__ import annotations

import torch
from monai.networks.nets import EfficientNet
from monai.networks.nets.efficientnet import MBConvBlock
from torch import nn

from fetal_monai.networks.errors import unknown_backbone
from fetal_monai.recorded import Recorded

# Width and depth multipliers (Tan and Le 2019, table 8 of the code release); Lite0 is B0 without SE and with ReLU6.
_MULTIPLIERS = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
    "b6": (1.8, 2.6),
    "b7": (2.0, 3.1),
    "lite0": (1.0, 1.0),
}
_STAGES = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)


class SamePadding(nn.Module):
    """Zero padding as TensorFlow's "same", computed from each image: the extra row and column go below and right.

    The published weights were trained with it. MONAI pads for one square size fixed at construction instead, which
    shifts the sampling grid of every view whose side differs from it in parity at some stage.

    Args:
        kernel_size: side of the kernel of the convolution that follows.
        stride: its stride.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pad (B, C, H, W) so that the convolution gives ceil(H / stride) x ceil(W / stride)."""
        height, width = image.shape[-2], image.shape[-1]
        down = max(((height + self.stride - 1) // self.stride - 1) * self.stride + self.kernel_size - height, 0)
        across = max(((width + self.stride - 1) // self.stride - 1) * self.stride + self.kernel_size - width, 0)
        return nn.functional.pad(image, (across // 2, across - across // 2, down // 2, down - down // 2))


class EfficientNetBackbone(Recorded, EfficientNet):
    """EfficientNet up to and including its last 1 x 1 convolution (Tan and Le 2019, arXiv 1905.11946).

    Lite0, the authors' variant for phones, has no squeeze-and-excitation and uses ReLU6. Construction draws random
    weights and never downloads; see `fetal_monai.networks.load_imagenet`.

    Args:
        variant: "b0" to "b7", or "lite0".
        in_channels: channels of the image.
        drop_connect_rate: stochastic depth of the last block; earlier ones get proportionally less. In [0, 1).

    Attributes:
        architecture: the name under which weights are published, such as "efficientnet-b0".
        out_channels: channels of the feature map, such as 1280 for B0 and 2304 for B6.

    Raises:
        FetalMonaiError: if `variant` is unknown.

    Example:
        >>> backbone = EfficientNetBackbone("lite0").eval()
        >>> backbone(torch.zeros(1, 3, 96, 128)).shape
        torch.Size([1, 1280, 3, 4])
    """

    def __init__(self, variant: str, *, in_channels: int = 3, drop_connect_rate: float = 0.2) -> None:
        if variant not in _MULTIPLIERS:
            raise unknown_backbone("EfficientNet variant", variant, _MULTIPLIERS)
        width, depth = _MULTIPLIERS[variant]
        lite = variant.startswith("lite")
        super().__init__(
            blocks_args_str=[stage if lite else f"{stage}_se0.25" for stage in _STAGES],
            in_channels=in_channels,
            num_classes=1,
            width_coefficient=width,
            depth_coefficient=depth,
            drop_connect_rate=drop_connect_rate,
        )
        self.architecture = f"efficientnet-{variant}"
        self.out_channels: int = self._fc.in_features
        del self._fc, self._dropout, self._avg_pooling
        # MONAI's memory-efficient swish cannot be scripted, and torch's own SiLU is as frugal.
        activation = nn.ReLU6() if lite else nn.SiLU()
        self._swish = activation
        _pad_by_image(self)
        for block in self.modules():
            if isinstance(block, MBConvBlock):
                block.register_module("_swish", activation)
                _pad_by_image(block)
                if lite:
                    # TorchScript compiles the branch that `has_se` skips, so it must find the names.
                    for name in ("adaptpool", "reduce", "expand", "reduce_padding", "expand_padding"):
                        block.register_module(f"_se_{name}", nn.Identity())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map float (B, in_channels, H, W), scaled to [-1, 1], to (B, out_channels, ceil(H / 32), ceil(W / 32))."""
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(image))))
        x = self._blocks(x)
        features: torch.Tensor = self._swish(self._bn1(self._conv_head(self._conv_head_padding(x))))
        return features


def _pad_by_image(module: nn.Module) -> None:
    """Replace padders made for one size: by the convolution's own padding, or by `SamePadding` where it strides."""
    for name, conv in list(module.named_children()):
        if not isinstance(conv, nn.Conv2d) or not hasattr(module, f"{name}_padding"):
            continue
        kernel_size, stride = conv.kernel_size[0], conv.stride[0]
        if stride == 1:
            conv.padding = (kernel_size // 2, kernel_size // 2)
            setattr(module, f"{name}_padding", nn.Identity())
        else:
            setattr(module, f"{name}_padding", SamePadding(kernel_size, stride))
