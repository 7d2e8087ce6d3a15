"""The shallow view as a function of the detailed one: preprocessing and networks share it, so both see the same."""

from __future__ import annotations

import torch
from torch.nn import functional


def shallow_view(detailed: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Resize finished detailed views, bilinearly with an antialiasing filter, to the size of the shallow branch.

    An image by itself and in any batch gives the same bits on the CPU. TorchScript and ONNX can follow.

    Args:
        detailed: (B, C, H, W), floating point, standardised.
        size: (height, width) of the result.

    Returns:
        (B, C, *size), of the same type.

    Example:
        >>> shallow_view(torch.zeros(2, 3, 528, 528), [224, 224]).shape
        torch.Size([2, 3, 224, 224])
    """
    # In float32, because the antialiased resize exists in no shorter type on a CPU.
    resized = functional.interpolate(detailed.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(detailed.dtype)
