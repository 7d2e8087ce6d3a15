"""Renaming the keys of published weights (efficientnet_pytorch, torchvision, timm) to those of our backbones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

StateDict = Mapping[str, torch.Tensor]

# The classifiers of the source networks: 1000 ImageNet classes, of no use to a backbone.
_CLASSIFIERS = ("_fc.", "fc.", "classifier.", "class_layers.out.")

# timm's names inside a block, the first stage (which does not expand) apart from the others.
_TIMM_BLOCK = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "se.conv_reduce": "_se_reduce",
    "se.conv_expand": "_se_expand",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_TIMM_FIRST_STAGE = _TIMM_BLOCK | {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_TIMM_OUTSIDE = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}

# torchvision's, which number the layers of a block.
_TORCHVISION_BLOCK = {
    "0.0": "_expand_conv",
    "0.1": "_bn0",
    "1.0": "_depthwise_conv",
    "1.1": "_bn1",
    "2.fc1": "_se_reduce",
    "2.fc2": "_se_expand",
    "3.0": "_project_conv",
    "3.1": "_bn2",
}
_TORCHVISION_FIRST_STAGE = {
    "0.0": "_depthwise_conv",
    "0.1": "_bn1",
    "1.fc1": "_se_reduce",
    "1.fc2": "_se_expand",
    "2.0": "_project_conv",
    "2.1": "_bn2",
}
_TORCHVISION_OUTSIDE = {"0.0": "_conv_stem", "0.1": "_bn0", "8.0": "_conv_head", "8.1": "_bn1"}


def to_backbone_layout(weights: StateDict, backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Rename published weights to the keys of `backbone`, without their classifier.

    Keys that follow no known layout are kept as they are, so that loading can name them.

    Args:
        weights: a state dict in the layout of efficientnet_pytorch, torchvision, timm or of the backbone itself.
        backbone: the module that the weights are meant for.

    Returns:
        The renamed weights; `num_batches_tracked`, which old files lack, is taken from `backbone` where absent.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone
        >>> backbone = ResNetBackbone(18)
        >>> published = backbone.state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
        >>> to_backbone_layout(published, backbone).keys() == backbone.state_dict().keys()
        True
    """
    own = backbone.state_dict()
    architecture = str(getattr(backbone, "architecture", ""))
    rename: Callable[[str], str] = str
    if architecture.startswith("efficientnet"):
        rename = _efficientnet_renamer(own)
    elif architecture.startswith("densenet"):
        rename = _rename_densenet
    renamed = {key if key in own else rename(key): value for key, value in weights.items() if not _is_classifier(key)}
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    return counters | renamed


def _is_classifier(key: str) -> bool:
    return key.startswith(_CLASSIFIERS)


def _efficientnet_renamer(own: Iterable[str]) -> Callable[[str], str]:
    """Build the renaming for one EfficientNet: efficientnet_pytorch counts blocks through, the others by stage."""
    stage_of: dict[str, str] = {}
    blocks_of: dict[str, list[str]] = {}
    for key in own:
        if match := re.match(r"_blocks\.(\d+)\.(\d+)\.", key):
            stage, block = match.groups()
            if block not in stage_of:
                stage_of[block] = stage
                blocks_of.setdefault(stage, []).append(block)

    def block_name(stage: str, repeat: str) -> str | None:
        blocks = blocks_of.get(stage, [])
        return f"_blocks.{stage}.{blocks[int(repeat)]}" if int(repeat) < len(blocks) else None

    def rename(key: str) -> str:
        if match := re.fullmatch(r"_blocks\.(\d+)\.(_.+)", key):
            block, rest = match.groups()
            return f"_blocks.{stage_of[block]}.{block}.{rest}" if block in stage_of else key
        if match := re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)", key):
            stage, repeat, layer, tensor = match.groups()
            names = _TIMM_FIRST_STAGE if stage == "0" else _TIMM_BLOCK
            block_key = block_name(stage, repeat)
            return f"{block_key}.{names[layer]}.{tensor}" if block_key and layer in names else key
        if match := re.fullmatch(r"features\.(\d+)\.(\d+)\.block\.(.+)\.(\w+)", key):
            stage, repeat, layer, tensor = match.groups()
            names = _TORCHVISION_FIRST_STAGE if stage == "1" else _TORCHVISION_BLOCK
            block_key = block_name(str(int(stage) - 1), repeat)
            return f"{block_key}.{names[layer]}.{tensor}" if block_key and layer in names else key
        layer, _, tensor = key.removeprefix("features.").rpartition(".")
        outside = _TORCHVISION_OUTSIDE if key.startswith("features.") else _TIMM_OUTSIDE
        return f"{outside[layer]}.{tensor}" if layer in outside else key

    return rename


def _rename_densenet(key: str) -> str:
    """Name a layer of a dense block as MONAI does; files older than torchvision 0.3 write norm.1 for norm1."""
    return re.sub(r"(denselayer\d+)\.(norm|conv)\.?([12])\.", r"\1.layers.\2\3.", key)
