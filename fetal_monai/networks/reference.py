"""Checkpoints of the reference implementation (arXiv 2506.08623) into our networks."""

from __future__ import annotations

from os import PathLike

import torch
from torch import nn

from fetal_monai.networks.layouts import to_backbone_layout
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict

# A single-branch network may be the published one as it is, with its own classifier as the head.
_BARE_HEADS = ("fc.", "_fc.", "classifier.")


def load_reference_checkpoint(network: nn.Module, path: str | PathLike[str]) -> nn.Module:
    """Load a checkpoint of the reference: backbones in their public key layouts, and the head.

    The keys are `backbone_shallow.*` and `backbone_detailed.*` (with one branch `backbone.*` or no prefix), in the
    layout of efficientnet_pytorch, torchvision or timm; `head.weight`, `head.bias`; and `alpha` with a gate.
    ImageNet classifiers that the backbones carry along are left out. A checkpoint of ours loads as well.

    Args:
        network: the classifier to fill.
        path: the checkpoint; only tensors are read from it.

    Returns:
        The network itself.

    Raises:
        InputError: if the file cannot be read safely, or was written by another network or for other classes; a few
            lines then say which keys and shapes differ.

    Example:
        >>> import tempfile
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> network = SingleBranchClassifier(16, ResNetBackbone(18))
        >>> with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        ...     torch.save(network.state_dict(), file.name)
        ...     _ = load_reference_checkpoint(network, file.name)
    """
    weights = read_state_dict(path)
    backbones = {name: child for name, child in network.named_children() if name.startswith("backbone")}
    if list(backbones) == ["backbone"] and not any(key.startswith(("backbone", "head.")) for key in weights):
        weights = {_with_prefix(key): value for key, value in weights.items()}
    converted: dict[str, torch.Tensor] = {}
    for name, backbone in backbones.items():
        own = {key.removeprefix(f"{name}."): weights.pop(key) for key in list(weights) if key.startswith(f"{name}.")}
        if own:
            renamed = to_backbone_layout(own, backbone)
            converted |= {f"{name}.{key}": value for key, value in renamed.items()}
    if "alpha" in weights and weights["alpha"].numel() == 1:
        weights["alpha"] = weights["alpha"].reshape(())  # written as one number or as a vector of one
    load_strictly(network, converted | weights, source=path)
    return network


def _with_prefix(key: str) -> str:
    for head in _BARE_HEADS:
        if key.startswith(head):
            return f"head.{key.removeprefix(head)}"
    return f"backbone.{key}"
