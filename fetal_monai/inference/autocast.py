"""Shorter floats in training on processors that have instructions for them; MONAI's own switch is for CUDA alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from monai.inferers import Inferer

from fetal_monai.utils.untracked import untracked


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32.

    Args:
        device: a CPU or CUDA device.

    Returns:
        True for CUDA devices with bfloat16, and for CPUs with AVX-512's or AMX's instructions for it.

    Example:
        >>> isinstance(bfloat16_pays(torch.device("cpu")), bool)
        True
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.5
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


class AutocastInferer(Inferer):
    """Run a network in bfloat16 where autocast deems it safe, and give its logits in float32; for `train#inferer`.

    On a GPU the trainer's own switch decides (`amp`, `amp_dtype`). Weights, optimizer and loss stay in float32. On a
    CPU with AMX's bfloat16 a training step of EfficientNet-Lite0 takes two thirds of the time (docs/performance.md).
    Validation and everything that predicts stay in float32.

    Args:
        enabled: False runs the network as it is; None asks `bfloat16_pays` about a CPU, and on a GPU leaves it to the
            trainer.

    Example:
        >>> network = torch.nn.Linear(8, 2)
        >>> AutocastInferer(enabled=True)(torch.rand(3, 8), network).dtype
        torch.float32
    """

    def __init__(self, *, enabled: bool | None = None) -> None:
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output for `inputs` (B, 3, H, W), all tensors in it float32.

        Args:
            inputs: the first argument of the network.
            network: what to run.
            *args: further arguments of the network, such as the coarse view.
            **kwargs: likewise.
        """
        enabled = self.enabled
        if enabled is None and inputs.device.type == "cpu":
            enabled = bfloat16_pays(inputs.device)
        views = [untracked(view) for view in (inputs, *args)]
        asked = (
            nullcontext() if enabled is None else torch.autocast(inputs.device.type, torch.bfloat16, enabled=enabled)
        )
        with asked:
            output = network(*views, **kwargs)
        return output.float() if isinstance(output, torch.Tensor) else type(output)(item.float() for item in output)
