"""Names of a package that are imported when they are first asked for: torch and MONAI take seconds."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any


def lazy_attributes(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package (PEP 562).

    Args:
        package: its `__name__`.
        places: where each name is: `package.module:attribute`, or a module.

    Returns:
        The function.

    Example:
        >>> get = lazy_attributes("room", {"sine": "math:sin"})
        >>> get("sine")(0.0)
        0.0
        >>> get("cosine")
        Traceback (most recent call last):
        AttributeError: module 'room' has no attribute 'cosine'
    """

    def get(name: str) -> Any:
        if name in places:
            return pkgutil.resolve_name(places[name])
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
