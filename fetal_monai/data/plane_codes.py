"""The planes that this package has a name for: their codes, and the anatomy that they show."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import yaml


@functools.cache
def plane_codes() -> dict[str, Any]:
    """Read `plane_codes.yaml`.

    Returns:
        `scheme`, `scheme_name`, and `planes`: name -> code, anatomical sites, `standard: false` for none of the planes.

    Example:
        >>> plane_codes()["planes"]["Femur"]["code"]
        'FEMUR'
    """
    text = resources.files("fetal_monai.data").joinpath("plane_codes.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def is_standard_plane(class_name: str) -> bool:
    """Tell a plane from a class that gathers what is none of them.

    Args:
        class_name: of a model.

    Returns:
        False where `plane_codes.yaml` says so; other names are taken for planes.

    Example:
        >>> is_standard_plane("Femur"), is_standard_plane("Other")
        (True, False)
    """
    return bool(plane_codes()["planes"].get(class_name, {}).get("standard", True))
