"""What people call the splits in names of folders and files."""

from __future__ import annotations

import re

_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
_NAMES |= {"test": "test", "testing": "test"}


def split_of_name(name: str) -> str:
    """Find the split that a name is the name of.

    Args:
        name: such as `Train` or `validation`.

    Returns:
        train, val or test; empty if it is none.

    Example:
        >>> [split_of_name(name) for name in ("Train", "validation", "Femur")]
        ['train', 'val', '']
    """
    return _NAMES.get(name.strip().lower(), "")


def split_in_name(name: str) -> str:
    """Find the one split that a file's name speaks of.

    Args:
        name: such as `instances_train2024.json`.

    Returns:
        train, val or test; empty if it speaks of none, or of several.

    Example:
        >>> [split_in_name(name) for name in ("instances_train2024.json", "labels.json", "trainable.json")]
        ['train', '', '']
    """
    found = {split_of_name(word) for word in re.findall(r"[a-z]+", name.lower())} - {""}
    return found.pop() if len(found) == 1 else ""
