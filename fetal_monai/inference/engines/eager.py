"""PyTorch itself: the engine that all others are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fetal_monai.inference.float32 import full_float32


class EagerEngine:
    """The network as it is, in 32-bit floats on every device.

    Not for two threads at once: another's images would pass the hook, too, and `full_float32` is set for all.

    Args:
        network: in evaluation mode, with its last layer as `head` where features are asked for.
        features: whether to give the features as well.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> engine = EagerEngine(SingleBranchClassifier(4, ResNetBackbone(18)).eval(), features=True)
        >>> logits, features = engine.forward([torch.zeros(2, 3, 64, 96)])
        >>> logits.shape, features.shape
        (torch.Size([2, 4]), torch.Size([2, 512]))
    """

    def __init__(self, network: torch.nn.Module, *, features: bool) -> None:
        self.network = network
        self.name = f"PyTorch {torch.__version__}, float32"
        self.lanes = 1
        self._features = features

    @torch.inference_mode()
    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Classify; see `Engine.forward`.

        Args:
            batch: the views, on the network's device.
        """
        seen: list[torch.Tensor] = []
        hook = None
        if self._features:
            head: torch.nn.Module = self.network.head  # type: ignore[assignment]
            hook = head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        try:
            with full_float32():
                logits = self.network(*batch)
        finally:
            if hook is not None:
                hook.remove()
        return logits, seen[0] if seen else None
