"""Cropping and masking by the regions that the scanner declares, with the recipe's fixed banner as fallback."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from fetal_monai.dicom.regions import Region, main_picture, regions_from_meta, regions_to_text
from fetal_monai.transforms.banner import REFERENCE_FILL, REFERENCE_FRACTION, mask_banner
from fetal_monai.utils.serialization import Recorded

PICTURES = ("tissue", "colour", "3d")
"""The kinds of region that show anatomy; see `Region.kind`."""


def frame_regions(frame: torch.Tensor) -> tuple[Region, ...]:
    """The regions of a frame in its own pixels, whatever it was resized to since it was read.

    Args:
        frame: (3, H, W); a `MetaTensor` from `UltrasoundReader`, or anything else, which has none.

    Returns:
        The regions.
    """
    if not isinstance(frame, MetaTensor):
        return ()
    regions = regions_from_meta(frame.meta)
    rows, columns = (int(length) for length in frame.meta.get("spatial_shape", frame.shape[-2:]))
    height, width = frame.shape[-2:]
    if (rows, columns) == (height, width):
        return regions
    y, x = height / rows, width / columns
    return tuple(
        replace(
            region,
            left=round(region.left * x),
            right=max(round((region.right + 1) * x) - 1, round(region.left * x)),
            top=round(region.top * y),
            bottom=max(round((region.bottom + 1) * y) - 1, round(region.top * y)),
            delta_x=region.delta_x / x,
            delta_y=region.delta_y / y,
        )
        for region in regions
    )


class CropToRegiond(Recorded, MapTransform):
    """Crop frames to their largest region that shows anatomy; the affine and the regions in the metadata follow.

    A frame that declares no such region keeps its size, and its banner is masked instead.

    Args:
        keys: of the frames, (3, H, W), values 0..255, right from `LoadImaged(reader=UltrasoundReader())`.
        margin: pixels to keep around the region, where the frame has them.
        banner_fraction: share of the height to mask where no region is declared; 0 masks nothing.
        fill: RGB of that mask, 0..255.
        allow_missing_keys: skip absent keys.

    Example:
        >>> region = Region(1, 1, left=2, top=3, right=6, bottom=7, units_x=3, units_y=3, delta_x=0.1, delta_y=0.1)
        >>> meta = {"regions": regions_to_text([region]), "spatial_shape": [10, 12], "affine": torch.eye(3)}
        >>> frame = MetaTensor(torch.zeros(3, 10, 12, dtype=torch.uint8), meta=meta)
        >>> CropToRegiond("image")({"image": frame})["image"].shape
        torch.Size([3, 5, 5])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        margin: int = 0,
        banner_fraction: float = REFERENCE_FRACTION,
        fill: Sequence[int] = REFERENCE_FILL,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.margin = margin
        self.banner_fraction = banner_fraction
        self.fill = tuple(fill)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the frames cropped."""
        result = dict(data)
        for key in self.key_iterator(result):
            frame = result[key]
            region = main_picture(frame_regions(frame))
            box = region and _grown(region, self.margin).clipped(*frame.shape[-2:])
            result[key] = _crop(frame, *box) if box else mask_banner(frame, self.banner_fraction, self.fill)
        return result


class MaskOutsideRegionsd(Recorded, MapTransform):
    """Fill everything outside of the regions that show anatomy: banner, scales, traces, names.

    A frame that declares no such region has its banner masked instead.

    Args:
        keys: of the frames, (3, H, W), values 0..255, right from `LoadImaged(reader=UltrasoundReader())`.
        kinds: the kinds of region to keep; see `Region.kind`.
        banner_fraction: share of the height to mask where no region is declared; 0 masks nothing.
        fill: RGB, 0..255.
        allow_missing_keys: skip absent keys.

    Example:
        >>> region = Region(1, 1, left=1, top=1, right=2, bottom=1, units_x=3, units_y=3, delta_x=0.1, delta_y=0.1)
        >>> meta = {"regions": regions_to_text([region]), "spatial_shape": [3, 4], "affine": torch.eye(3)}
        >>> frame = MetaTensor(torch.full((3, 3, 4), 99, dtype=torch.uint8), meta=meta)
        >>> MaskOutsideRegionsd("image", fill=(0, 0, 0))({"image": frame})["image"][0].tolist()
        [[0, 0, 0, 0], [0, 99, 99, 0], [0, 0, 0, 0]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        kinds: Sequence[str] = PICTURES,
        banner_fraction: float = REFERENCE_FRACTION,
        fill: Sequence[int] = REFERENCE_FILL,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.kinds = tuple(kinds)
        self.banner_fraction = banner_fraction
        self.fill = tuple(fill)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the frames masked."""
        result = dict(data)
        for key in self.key_iterator(result):
            frame = result[key]
            shown = [region.clipped(*frame.shape[-2:]) for region in frame_regions(frame) if region.kind in self.kinds]
            boxes = [box for box in shown if box]
            result[key] = self._mask(frame, boxes) if boxes else mask_banner(frame, self.banner_fraction, self.fill)
        return result

    def _mask(self, frame: torch.Tensor, boxes: list[tuple[int, int, int, int]]) -> torch.Tensor:
        plain = frame.as_tensor() if isinstance(frame, MetaTensor) else frame
        fill = torch.tensor(self.fill, dtype=plain.dtype, device=plain.device).view(3, 1, 1)
        masked = fill.expand(plain.shape).clone()
        for top, bottom, left, right in boxes:
            masked[:, top:bottom, left:right] = plain[:, top:bottom, left:right]
        return MetaTensor(masked, meta=frame.meta, applied_operations=[]) if isinstance(frame, MetaTensor) else masked


def _grown(region: Region, margin: int) -> Region:
    return replace(
        region,
        left=region.left - margin,
        top=region.top - margin,
        right=region.right + margin,
        bottom=region.bottom + margin,
    )


def _crop(frame: MetaTensor, top: int, bottom: int, left: int, right: int) -> MetaTensor:
    moved = [
        replace(
            region, left=region.left - left, right=region.right - left, top=region.top - top, bottom=region.bottom - top
        )
        for region in frame_regions(frame)
    ]
    offset = torch.eye(frame.affine.shape[-1], dtype=frame.affine.dtype)
    offset[0, -1], offset[1, -1] = top, left
    meta = {
        **frame.meta,
        "regions": regions_to_text(moved),
        "spatial_shape": np.array([bottom - top, right - left]),
        "affine": frame.affine @ offset,
    }
    return MetaTensor(frame.as_tensor()[:, top:bottom, left:right].contiguous(), meta=meta)
