"""From a decoded frame to what the network sees: one way for predictions, their explanations and measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from numpy.typing import NDArray

from fetal_monai.dicom.regions import regions_from_meta
from fetal_monai.transforms import CropToRegiond, DualResolutiond, MaskBannerd, MaskOutsideRegionsd, ResizeFramed
from fetal_monai.utils.untracked import untracked

Views = dict[str, torch.Tensor]
_OF_PIXELS = {ResizeFramed, MaskBannerd, DualResolutiond}
_OF_REGIONS = {CropToRegiond, MaskOutsideRegionsd}


def metadata_for(preprocessing: Compose, meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the metadata of a frame as far as a model's transforms may look at them.

    Carrying metadata along takes as long as resizing a small frame, and only one thread at a time can do it.

    Args:
        preprocessing: of the model folder.
        meta: what `UltrasoundReader` tells of the frame.

    Returns:
        `meta`; None where each transform is known to take nothing but pixels, or regions of which there are none.

    Example:
        >>> preprocessing = Compose([CropToRegiond("image"), ResizeFramed("image", size=(6, 8))])
        >>> metadata_for(preprocessing, {"regions": "[]", "frames": 1}) is None
        True
    """
    others = {type(transform) for transform in preprocessing.transforms} - _OF_PIXELS
    if not others or (others <= _OF_REGIONS and not regions_from_meta(meta)):
        return None
    return meta


def loaded_image(pixels: torch.Tensor, meta: Mapping[str, Any] | None = None) -> torch.Tensor:
    """A decoded frame as `LoadImaged` gives it to the transforms.

    Args:
        pixels: (3, H, W) uint8 RGB.
        meta: what `UltrasoundReader` tells, where cropping and masking look for the scanner's regions; pictures and
            arrays have none.

    Returns:
        (3, H, W) uint8: a `MetaTensor` where there are metadata.
    """
    return MetaTensor.ensure_torch_and_prune_meta(pixels, dict(meta)) if meta else pixels


def prepare(preprocessing: Compose, image: torch.Tensor) -> Views:
    """Bring one frame to the network's views, as in training.

    Args:
        preprocessing: of the model folder.
        image: what `loaded_image` gives.

    Returns:
        `image` and, for two branches, `image_shallow`: plain float32 tensors (3, h, w).

    Example:
        >>> preprocessing = Compose([DualResolutiond("image", detailed_size=(6, 8), shallow_size=(2, 2))])
        >>> views = prepare(preprocessing, loaded_image(torch.zeros(3, 9, 12, dtype=torch.uint8)))
        >>> {name: tuple(view.shape) for name, view in views.items()}
        {'image': (3, 6, 8), 'image_shallow': (3, 2, 2)}
    """
    return _views(preprocessing({"image": image}))


def prepare_and_show(preprocessing: Compose, image: torch.Tensor) -> tuple[Views, NDArray[np.uint8]]:
    """The views, and the picture that they were made of: the frame after cropping, masking and shrinking.

    Args:
        preprocessing: of the model folder.
        image: what `loaded_image` gives.

    Returns:
        What `prepare` gives, and (H, W, 3) uint8 RGB: the last state of `image` that is still an 8-bit picture, with
        the same field of view as the network's.
    """
    data: Any = {"image": image}
    picture = image
    for step in range(len(preprocessing)):
        data = preprocessing(data, start=step, end=step + 1)
        state = data["image"]
        if state.dtype == torch.uint8 and state.ndim == 3 and len(state) == 3:
            picture = state
    return _views(data), np.ascontiguousarray(untracked(picture).permute(1, 2, 0).numpy())


def _views(data: Mapping[str, Any]) -> Views:
    return {name: untracked(torch.as_tensor(data[name])) for name in ("image", "image_shallow") if name in data}


def stack_views(views: Sequence[Views], device: torch.device | str = "cpu") -> list[torch.Tensor]:
    """Make a batch.

    Args:
        views: of B images, from `prepare`.
        device: where it goes.

    Returns:
        (B, 3, h, w) of each view, in the order of the network's arguments.

    Example:
        >>> [tuple(view.shape) for view in stack_views([{"image": torch.zeros(3, 2, 2)}] * 4)]
        [(4, 3, 2, 2)]
    """
    return [torch.stack([view[name] for view in views]).to(device) for name in views[0]]
