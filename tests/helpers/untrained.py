"""Networks that have learnt nothing, made so that their outputs differ from image to image."""

from __future__ import annotations

import torch
from torch import nn


def spread_logits(network: nn.Module) -> None:
    """Let BatchNorm see two small views once, scale the head to logits of a few units, and switch to evaluation."""
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 3, 48, 64), torch.randn(8, 3, 32, 32))
        features = network.eval().forward_features(torch.randn(8, 3, 48, 64), torch.randn(8, 3, 32, 32))
        network.head.weight.mul_(8 / features.std())
