"""Networks straight from the equations, by the keys under which their weights are published."""

import re

import torch
from torch.nn import functional


def norm(x, weights, name, eps=1e-5):
    return functional.batch_norm(
        x,
        *(weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")),
        training=False,
        eps=eps,
    )


def resnet(weights, x):
    """A basic-block ResNet straight from the equations, by torchvision's keys."""
    x = norm(functional.conv2d(x, weights["conv1.weight"], stride=2, padding=3), weights, "bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    blocks = dict.fromkeys(re.match(r"layer\d\.\d+", key)[0] for key in weights if key.startswith("layer"))
    for block in blocks:
        stride = 2 if block.endswith(".0") and block != "layer1.0" else 1
        y = functional.conv2d(x, weights[f"{block}.conv1.weight"], stride=stride, padding=1)
        y = norm(y, weights, f"{block}.bn1").relu()
        y = norm(functional.conv2d(y, weights[f"{block}.conv2.weight"], padding=1), weights, f"{block}.bn2")
        if f"{block}.downsample.0.weight" in weights:
            x = functional.conv2d(x, weights[f"{block}.downsample.0.weight"], stride=stride)
            x = norm(x, weights, f"{block}.downsample.1")
        x = (x + y).relu()
    return x


def densenet(weights, x):
    """A DenseNet straight from the equations, by torchvision's keys."""
    x = functional.conv2d(x, weights["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(norm(x, weights, "features.norm0").relu(), 3, 2, 1)
    for block in range(1, 5):
        layer = 1
        while f"features.denseblock{block}.denselayer{layer}.conv1.weight" in weights:
            name = f"features.denseblock{block}.denselayer{layer}"
            y = functional.conv2d(norm(x, weights, f"{name}.norm1").relu(), weights[f"{name}.conv1.weight"])
            y = functional.conv2d(norm(y, weights, f"{name}.norm2").relu(), weights[f"{name}.conv2.weight"], padding=1)
            x, layer = torch.cat([x, y], 1), layer + 1
        if block < 4:
            name = f"features.transition{block}"
            x = functional.conv2d(norm(x, weights, f"{name}.norm").relu(), weights[f"{name}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    return norm(x, weights, "features.norm5").relu()


def published_layout(backbone):
    """The weights under torchvision's keys, and the ImageNet classifier that comes with them."""
    weights = {key.replace(".layers.", "."): value for key, value in backbone.state_dict().items()}
    classifier = "fc" if backbone.architecture.startswith("resnet") else "classifier"
    features = backbone.out_channels
    return weights | {f"{classifier}.weight": torch.zeros(1000, features), f"{classifier}.bias": torch.zeros(1000)}
