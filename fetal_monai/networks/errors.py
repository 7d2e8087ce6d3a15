"""The one message that all backbones share."""

from __future__ import annotations

from collections.abc import Iterable


def unknown_backbone(what: str, name: object, known: Iterable[object]) -> ValueError:
    """Build the error for a backbone that does not exist: it lists those that do.

    Example:
        >>> print(unknown_backbone("ResNet depth", 19, (18, 34)))
        ResNet depth 19 is unknown; known are 18, 34
    """
    return ValueError(f"{what} {name!r} is unknown; known are {', '.join(map(str, known))}")
