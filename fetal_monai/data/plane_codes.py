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
        `scheme`, `scheme_name`, and `planes`: name -> code and anatomical sites.

    Example:
        >>> plane_codes()["planes"]["Femur"]["code"]
        'FEMUR'
    """
    text = resources.files("fetal_monai.data").joinpath("plane_codes.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
