"""EfficientNet-B0 to B7 and Lite0 to Lite2 as backbones: MONAI's network without its classifier, for any view size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import NamedTuple

import torch
from monai.networks.nets import EfficientNet
from monai.networks.nets.efficientnet import MBConvBlock, _round_filters, _round_repeats
from torch import nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks.depthwise import DepthwiseConv2d
from fetal_monai.networks.errors import unknown_backbone
from fetal_monai.utils.serialization import Recorded

# Width and depth multipliers (Tan and Le 2019, table 8 of the code release, and the release of the Lite variants).
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
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
}


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        """Write it as MONAI's `EfficientNet` reads it."""
        return (
            f"r{self.repeats}_k{self.kernel}_s{self.stride}{self.stride}_e{self.expand}_i{self.inputs}_o{self.outputs}"
        )


_STAGES = (
    _Stage(1, 3, 1, 1, 32, 16),
    _Stage(2, 3, 2, 6, 16, 24),
    _Stage(2, 5, 2, 6, 24, 40),
    _Stage(3, 3, 2, 6, 40, 80),
    _Stage(3, 5, 1, 6, 80, 112),
    _Stage(4, 5, 2, 6, 112, 192),
    _Stage(1, 3, 1, 6, 192, 320),
)


def _lite_stages(width: float, depth: float) -> list[_Stage]:
    """Scale the stages as the Lite variants do: stem, head and the repeats of the first and last stage stay."""
    stages = []
    for stage in _STAGES:
        inner = stage not in (_STAGES[0], _STAGES[-1])
        inputs = stage.inputs if stage is _STAGES[0] else _round_filters(stage.inputs, width, 8)
        repeats = _round_repeats(stage.repeats, depth) if inner else stage.repeats
        stages.append(stage._replace(inputs=inputs, outputs=_round_filters(stage.outputs, width, 8), repeats=repeats))
    return stages


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

    The Lite variants, the authors' for phones, have no squeeze-and-excitation and use ReLU6. Construction draws random
    weights and never downloads; see `fetal_monai.networks.load_imagenet`.

    Args:
        variant: "b0" to "b7", or "lite0" to "lite2".
        in_channels: channels of the image.
        drop_connect_rate: stochastic depth of the last block; earlier ones get proportionally less. In [0, 1).
        batch_norm_momentum: the newest batch's share in BatchNorm's running statistics, in (0, 1]. MONAI's 0.01 suits
            trainings on a million images: in short ones the statistics lag behind, and every validation with them.
        frozen_norm_stages: in how many stages, the stem being the first, BatchNorm keeps the statistics that it came
            with while the weights learn: those of edges and texture differ little between pictures, and a small batch
            estimates them badly. 0 to 8.

    Attributes:
        architecture: the name under which weights are published, such as "efficientnet-b0".
        out_channels: channels of the feature map, such as 1280 for B0 and 2304 for B6.
        checkpoint_activations: in training, keep what goes into each block and compute the rest again when gradients
            need it: less than half of what is kept, for more time. Gradients and BatchNorm statistics stay the same.

    Raises:
        FetalMonaiError: if `variant` is unknown, or another argument out of range.

    Example:
        >>> backbone = EfficientNetBackbone("lite0").eval()
        >>> backbone(torch.zeros(1, 3, 96, 128)).shape
        torch.Size([1, 1280, 3, 4])
    """

    def __init__(
        self,
        variant: str,
        *,
        in_channels: int = 3,
        drop_connect_rate: float = 0.2,
        batch_norm_momentum: float = 0.1,
        frozen_norm_stages: int = 0,
    ) -> None:
        if variant not in _MULTIPLIERS:
            raise unknown_backbone("EfficientNet variant", variant, _MULTIPLIERS)
        if not 0 < batch_norm_momentum <= 1:
            raise FetalMonaiError(f"batch_norm_momentum is {batch_norm_momentum}; it must be above 0 and at most 1")
        if not 0 <= frozen_norm_stages <= len(_STAGES) + 1:
            raise FetalMonaiError(
                f"frozen_norm_stages is {frozen_norm_stages}; it must be between 0 and {len(_STAGES) + 1}"
            )
        width, depth = _MULTIPLIERS[variant]
        lite = variant.startswith("lite")
        super().__init__(
            blocks_args_str=list(map(str, _lite_stages(width, depth))) if lite else [f"{s}_se0.25" for s in _STAGES],
            in_channels=in_channels,
            num_classes=1,
            width_coefficient=1.0 if lite else width,
            depth_coefficient=1.0 if lite else depth,
            norm=("batch", {"eps": 1e-3, "momentum": batch_norm_momentum}),
            drop_connect_rate=drop_connect_rate,
        )
        self.architecture = f"efficientnet-{variant}"
        self.checkpoint_activations = False
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
        self._frozen_norm_stages = frozen_norm_stages

    def train(self, mode: bool = True) -> EfficientNetBackbone:
        """Switch to training or evaluation; stages that keep their statistics stay in evaluation."""
        super().train(mode)
        for stage in [self._bn0, *self._blocks][: self._frozen_norm_stages]:  # SyncBatchNorm may have taken places
            stage.train(False)
        return self

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map float (B, in_channels, H, W) to (B, out_channels, ceil(H / 32), ceil(W / 32))."""
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(image))))
        x = self._blocks(x) if is_scripting() else self._all_blocks(x)
        features: torch.Tensor = self._swish(self._bn1(self._conv_head(self._conv_head_padding(x))))
        return features

    @torch.jit.unused
    def _all_blocks(self, x: torch.Tensor) -> torch.Tensor:
        if not (self.checkpoint_activations and self.training and torch.is_grad_enabled()):
            return self._blocks(x)  # type: ignore[no-any-return]
        for block in (block for stage in self._blocks for block in stage.children()):
            x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_first_and_second_time, block))
        return x


def _first_and_second_time(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _unmoved_statistics(block)


@contextmanager
def _unmoved_statistics(block: nn.Module) -> Iterator[None]:
    """Let BatchNorm go by its batch without counting it: it did so the first time."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()  # SyncBatchNorm insists on one
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


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
        if conv.groups > 1:
            setattr(module, name, DepthwiseConv2d.like(conv))
