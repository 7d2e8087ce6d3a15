"""The one message that all backbones share."""

from __future__ import annotations

from collections.abc import Iterable

from fetal_monai.errors import FetalMonaiError


def unknown_backbone(what: str, name: object, known: Iterable[object]) -> FetalMonaiError:
    """Build the error for a backbone that does not exist: it lists those that do.

    Example:
        >>> print(unknown_backbone("ResNet depth", 19, (18, 34)))
        ResNet depth 19 is unknown; known are 18, 34
    """
    return FetalMonaiError(f"{what} {name!r} is unknown; known are {', '.join(map(str, known))}")
