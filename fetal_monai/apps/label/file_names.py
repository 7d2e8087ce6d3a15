"""The id of an image as the name of a file: of its label, and of the image itself where it is copied or linked to."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from urllib.parse import quote

from fetal_monai.data.image_names import names_picture

LONGEST = 250
"""Bytes of a name: file systems take 255, with `.json` or `.dcm`."""
_READABLE = 80


def file_name(image_id: str) -> str:
    """Make a name that any disk takes; two ids never have the same.

    Args:
        image_id: a SOPInstanceUID, or a picture's path below the folder.

    Returns:
        The id, with percent signs for what a name cannot hold. Where that is too long (a Cyrillic letter takes six
        bytes) or would be hidden: what ASCII there is at its end, `+`, a digest, and a picture's suffix.

    Example:
        >>> file_name("p 1/a.png")
        'p%201%2Fa.png'
        >>> file_name("Плод " * 20 + "2024/a.png")
        '_2024_a+2ee52d1ea5b22754eeec7442ec8ecb14a315163394e87fee3924bd76a1f6dc12.png'
    """
    raw = image_id.encode("utf-8", "surrogateescape")  # of a file's name that is no UTF-8
    name = quote(raw, safe="")
    if len(name) <= LONGEST and not name.startswith("."):
        return name
    suffix = PurePosixPath(image_id).suffix if names_picture(image_id) else ""
    readable = re.sub("[^A-Za-z0-9-]+", "_", image_id.removesuffix(suffix))[-_READABLE:]
    return f"{readable}+{hashlib.sha256(raw).hexdigest()}{suffix}"
