"""Writing files of tensors, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from fetal_monai.utils.files import atomic_path


def save_tensors(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write what `torch.load(path, weights_only=True)` gives back, whole or not at all.

    Args:
        content: tensors, and plain values and containers of them.
        path: the file.

    Raises:
        OSError: if it cannot be written; it names the file, which is then as it was before.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "weights.pt")
        >>> save_tensors({"weight": torch.ones(2)}, path)
        >>> torch.load(path, weights_only=True)
        {'weight': tensor([1., 1.])}
    """
    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as file:  # given a name, torch tells of a full disk "unexpected pos 123 vs 45"
                torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch closes its archive, in vain
                raise error.__context__ from error
            raise
