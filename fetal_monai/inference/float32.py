"""Networks in 32-bit floats throughout: what was fitted in float32 is applied in float32."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.inferers.inferer import SimpleInferer
from torch.backends import cuda, cudnn, mkldnn

Setting = tuple[Any, str, Any]
_CPU: Any = mkldnn  # makes its settings while it is imported, where a type checker does not see them

# cuDNN's convolutions round their inputs to TF32's 10 bits of mantissa unless told otherwise. torch 2.9 gave each
# operation a setting of its own and keeps the old one; both are set, because reading one of two that disagree raises.
_EXACT: list[Setting] = [(cudnn, "allow_tf32", False)]
if hasattr(cudnn, "conv"):
    _OPERATIONS = (cudnn.conv, cudnn.rnn, cuda.matmul, _CPU.conv, _CPU.matmul)
    _EXACT += [(operation, "fp32_precision", "ieee") for operation in _OPERATIONS]
else:
    _EXACT += [(cuda.matmul, "allow_tf32", False)]

_lock = threading.Lock()
_inside = 0
_before: list[Setting] = []


@contextmanager
def full_float32() -> Iterator[None]:
    """Let no shorter type stand in for float32 (TF32 on a GPU, bfloat16 on a CPU) while the block runs.

    The settings are torch's and hold for the whole process; of several threads inside, the last one out restores them.

    Example:
        >>> with full_float32():
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    global _inside  # noqa: PLW0603  # as global as the settings that it counts for
    with _lock:
        if not _inside:
            readable = [(owner, name, value) for owner, name, value in _EXACT if _has_meaning(owner, name)]
            _before[:] = [(owner, name, getattr(owner, name)) for owner, name, _ in readable]
            _apply(readable)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _apply(_before)


def allow_tf32(allowed: bool) -> None:
    """Let GPUs round the inputs of convolutions and products of matrices to TF32, or forbid it, for the whole process.

    torch does so for convolutions alone, unless it is told otherwise. What predicts uses `full_float32` all the same.

    Args:
        allowed: whether.

    Example:
        >>> allow_tf32(False)
        >>> torch.backends.cudnn.allow_tf32
        False
        >>> torch.backends.cudnn.allow_tf32 = True  # as it was; products of matrices are not rounded by default
    """
    cudnn.allow_tf32 = allowed  # the old settings: torch.compile reads them, and raises where only the new ones are set
    torch.set_float32_matmul_precision("high" if allowed else "highest")


def _has_meaning(owner: Any, name: str) -> bool:
    try:
        getattr(owner, name)
    except RuntimeError:  # somebody has chosen for single operations, so that the old setting has none
        return False
    return True


def _apply(settings: list[Setting]) -> None:
    for owner, name, value in settings:
        setattr(owner, name, value)


class Float32Inferer(SimpleInferer):
    """MONAI's `SimpleInferer` within `full_float32`, for evaluators that must give the numbers of `Predictor`.

    Example:
        >>> Float32Inferer()(torch.ones(1, 2), torch.nn.Identity()).tolist()
        [[1.0, 1.0]]
    """

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run the network.

        Args:
            inputs: its first input.
            network: called with all that follows.
            args: further inputs.
            kwargs: likewise, by name.

        Returns:
            What the network returns.
        """
        with full_float32():
            return super().__call__(inputs, network, *args, **kwargs)
