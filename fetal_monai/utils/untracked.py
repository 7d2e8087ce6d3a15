"""Tensors without MONAI's metadata, which would be carried through all that follows."""

from __future__ import annotations

from typing import Any

from monai.data import MetaTensor


def untracked(value: Any) -> Any:
    """Take the metadata from a tensor.

    Args:
        value: anything.

    Returns:
        A plain tensor that shares its memory, if it was a `MetaTensor`; else the value itself.

    Example:
        >>> type(untracked(MetaTensor([1.0]))).__name__, untracked("text")
        ('Tensor', 'text')
    """
    return value.as_tensor() if isinstance(value, MetaTensor) else value
