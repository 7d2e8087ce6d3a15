"""How a network is laid out on its device to be trained; nothing of it is part of the model."""

from __future__ import annotations

import torch
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks.efficientnet import EfficientNetBackbone


def place_network(
    network: nn.Module,
    device: torch.device | str,
    *,
    channels_last: bool = False,
    checkpoint_activations: bool = False,
    compiled: bool = False,
) -> nn.Module:
    """Move a network to a device, in the layout and with the economies that its training is to have.

    Args:
        network: it is changed in place; its state dict is not.
        device: where to.
        channels_last: keep the channels of a pixel side by side in memory, as tensor cores and oneDNN want them.
        checkpoint_activations: see `EfficientNetBackbone.checkpoint_activations`.
        compiled: whether it is to be compiled, which rules the former out.

    Returns:
        The network.

    Raises:
        FetalMonaiError: if activations are to be recomputed and no backbone can do so, or not when compiled.

    Example:
        >>> network = place_network(nn.Conv2d(3, 8, 3), "cpu", channels_last=True)
        >>> network.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    backbones = [module for module in network.modules() if isinstance(module, EfficientNetBackbone)]
    if checkpoint_activations and not backbones:
        raise FetalMonaiError(
            "checkpoint_activations is true, but only EfficientNets can recompute theirs and this network has none; "
            "leave it out, or choose another network"
        )
    if checkpoint_activations and compiled:
        raise FetalMonaiError(
            "compile and checkpoint_activations are both true, and torch.compile cannot recompute activations as "
            "BatchNorm's statistics need it; leave one of the two out"
        )
    for backbone in backbones:
        backbone.checkpoint_activations = checkpoint_activations
    if channels_last:
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return network.to(device)
