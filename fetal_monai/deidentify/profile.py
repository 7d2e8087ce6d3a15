"""The Basic Application Level Confidentiality Profile (PS3.15 table E.1-1), as dicom-anonymizer keeps it up to date."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydicom.tag import BaseTag

from fetal_monai.errors import InputError

EDITION = "2026c"
"""Of the standard, whose table is used."""

_CODES = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}
_CURVES_AND_OVERLAYS = (0x5000, 0x6000)
_FIRST_GROUP, _PIXEL_GROUP = 0x0008, 0x7FE0


def require_package(module: str, package: str) -> Any:
    """Import what only de-identification needs.

    Args:
        module: to import.
        package: that brings it.

    Returns:
        The module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        problem = f"needs the package {package}; pip install 'fetal_monai[deidentify]'"
        raise InputError("deidentify", [problem]) from None


@lru_cache(maxsize=1)
def _table() -> Mapping[int, str]:
    selector = require_package("dicomanonymizer.dicomfields_selector", "dicom-anonymizer")
    lists = selector.dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    # Tags of four numbers are whole groups of curves and overlays: `action_of` has them.
    return {tag[0] << 16 | tag[1]: code for name, code in _CODES.items() for tag in lists[name] if len(tag) == 2}


def action_of(tag: BaseTag) -> str:
    """Say what the profile does with an attribute.

    Args:
        tag: of the attribute, at any depth.

    Returns:
        The code of the table, such as X (remove), Z (empty), D (replace by a dummy), U (replace the UID) or X/Z/D;
        empty for attributes that may stay. Private attributes, curves, overlays, what lies outside the data set of an
        image, and what follows the pixels are X.

    Example:
        >>> action_of(BaseTag(0x00100010)), action_of(BaseTag(0x00080018)), action_of(BaseTag(0x00080060))
        ('Z', 'U', '')
    """
    drawn = tag.group & 0xFF00 in _CURVES_AND_OVERLAYS
    if tag.is_private or drawn or tag.element == 0 or not _FIRST_GROUP <= tag.group < _PIXEL_GROUP:
        return "X"
    return _table().get(int(tag), "")
