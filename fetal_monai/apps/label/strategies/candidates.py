"""Which images there are to choose from, which frames stand for them, and in what order they are looked at."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.dicom.frame_ref import STILL

CLIP_FRAMES = 5
"""Frames of a clip that stand for it in active learning, evenly spread."""


def unlabelled_images(request: dict[str, Any], datastore: UltrasoundDatastore) -> list[str]:
    """List what there is left to label.

    Args:
        request: `label_tag` and `labels` (optional): the tag and the classes that count.
        datastore: the images.

    Returns:
        The ids.
    """
    return datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))


def spread_frames(image: ImageFile) -> list[int]:
    """Choose the frames that stand for an image.

    Args:
        image: a still or a clip.

    Returns:
        [-1] for a still, else up to `CLIP_FRAMES` frames, the first and the last among them.

    Example:
        >>> spread_frames(ImageFile("a.dcm", 9, "")), spread_frames(ImageFile("a.dcm", 1, ""))
        ([0, 2, 4, 6, 8], [-1])
    """
    if image.frames == 1:
        return [STILL]
    return sorted({round(float(place)) for place in np.linspace(0, image.frames - 1, CLIP_FRAMES)})


def shuffled(image_id: str) -> str:
    """Give a key to sort images by: the order is random, but the same whenever and by whomever it is asked for.

    Args:
        image_id: of the image.

    Returns:
        The key.
    """
    return hashlib.sha256(image_id.encode()).hexdigest()
