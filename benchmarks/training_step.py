"""What a training step costs on a CPU: in float32, in bfloat16, and in bfloat16 with our depthwise gradients.

    python benchmarks/training_step.py

Whole steps of single-view EfficientNets, channels last, on one thread; processor time, the least of several rounds in
which the variants take turns.
"""

from __future__ import annotations

import argparse
import time

import torch
from networks import processor
from torch import nn

from fetal_monai.networks import EfficientNetBackbone, SingleBranchClassifier
from fetal_monai.networks.depthwise import DepthwiseConv2d

CASES = {"lite0": (16, 192, 288), "lite2": (16, 192, 288), "b0": (4, 224, 224)}
VARIANTS = {"float32": (False, False), "bfloat16, PyTorch's own": (True, False), "bfloat16": (True, True)}


class Step:
    """A network, its optimizer and a batch of noise.

    Args:
        variant: of the EfficientNet.
        batch: images, height, width.
        autocast: whether to compute in bfloat16.
        ours: whether gradients of depthwise convolutions are ours, or PyTorch's.
    """

    def __init__(self, variant: str, batch: tuple[int, int, int], *, autocast: bool, ours: bool) -> None:
        torch.manual_seed(0)
        network = SingleBranchClassifier(8, EfficientNetBackbone(variant))
        for module in network.modules():
            if isinstance(module, DepthwiseConv2d) and not ours:
                module.__class__ = nn.Conv2d  # type: ignore[assignment]  # the same but for its forward
        self.network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)
        images, height, width = batch
        self.images = torch.randn(images, 3, height, width).contiguous(memory_format=torch.channels_last)
        self.labels = torch.arange(images) % 8
        self.autocast = autocast

    def seconds(self) -> float:
        """Make a step; its processor time."""
        start = time.process_time()
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss = nn.functional.cross_entropy(self.network(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return time.process_time() - start


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{processor()}; ms per image\n\n| EfficientNet | {' | '.join(VARIANTS)} |\n|---|{'---|' * len(VARIANTS)}")
    for name, batch in CASES.items():
        steps = [Step(name, batch, autocast=autocast, ours=ours) for autocast, ours in VARIANTS.values()]
        times = [[step.seconds() for step in steps] for _ in range(1 + rounds)][1:]
        least = [1000 * min(column) / batch[0] for column in zip(*times, strict=True)]
        print(
            f"| {name}, {batch[0]} of {batch[1]} x {batch[2]} | {' | '.join(f'{ms:.0f}' for ms in least)} |", flush=True
        )


if __name__ == "__main__":
    main()
