"""Depthwise convolutions that learn fast in bfloat16 on a CPU: short floats forward, 32-bit floats backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.jit import is_scripting  # type: ignore[attr-defined]


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel for itself, without bias; PyTorch's but for its gradients under autocast on CPUs.

    There, oneDNN has no fast gradient of depthwise convolutions in bfloat16: it takes five times as long as in float32,
    and more than half of the training step of an EfficientNet (docs/performance.md). So gradients are computed in
    float32 from the activations in bfloat16. They are those of autocast, rounded less. While a network is exported
    or differentiated by `torch.func`, it is PyTorch's own.

    Example:
        >>> conv = DepthwiseConv2d.like(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False))
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     conv(torch.rand(1, 8, 5, 5)).dtype
        torch.bfloat16
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> DepthwiseConv2d:
        """Make one that shares the weight of a convolution.

        Args:
            conv: with as many groups as channels, padding by zeros in numbers, and no bias.

        Raises:
            ValueError: if it is another one.
        """
        depthwise = conv.groups == conv.in_channels and conv.bias is None
        if not depthwise or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise ValueError(f"{conv} is no depthwise convolution without bias that pads by a number of zeros")
        made = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch's stubs say more values than two
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=False,
            device="meta",
        )
        made.weight = conv.weight
        return made

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, H, W)."""
        if is_scripting():
            found: torch.Tensor = self._conv_forward(image, self.weight, self.bias)
        else:
            found = self._by_autocast(image)
        return found

    @torch.jit.unused
    def _by_autocast(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor
        if _learns_by_autocast(image):
            short = image.to(torch.get_autocast_dtype("cpu"))
            found = _Float32Gradients.apply(short, self.weight, self.stride, self.padding, self.dilation, self.groups)
        else:
            found = self._conv_forward(image, self.weight, self.bias)
        return found


def _learns_by_autocast(image: torch.Tensor) -> bool:
    return (
        image.is_cpu
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and image.dim() == 4
        and image.dtype != torch.float64  # which autocast leaves alone
        and not torch.compiler.is_exporting()
        and not torch._C._are_functorch_transforms_active()  # noqa: SLF001  # there is no public name
    )


class _Float32Gradients(torch.autograd.Function):
    """Convolves in the dtype of the image, and gives gradients computed in float32."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, weight: torch.Tensor, *settings: Any) -> torch.Tensor:
        ctx.save_for_backward(image, weight)
        ctx.settings = settings
        stride, padding, dilation, groups = settings
        return nn.functional.conv2d(image, weight.to(image.dtype), None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.settings
        wanted = [*ctx.needs_input_grad[:2], False]
        of_image, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0].float(), image.float(), weight, None, stride, padding, dilation, False, [0, 0], groups, wanted
        )
        return None if of_image is None else of_image.to(image.dtype), of_weight, None, None, None, None
