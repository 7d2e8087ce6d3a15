"""Resizing 8-bit frames, antialiased, with the geometry kept."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.nn import functional

from fetal_monai.utils.serialization import Recorded


def resize_frame(frame: torch.Tensor, size: Sequence[int], *, antialias: bool = True) -> torch.Tensor:
    """Resize one frame bilinearly.

    torch resizes uint8 with an antialiasing filter at a fraction of the cost of floating point, which is why frames
    stay uint8 for as long as possible.

    Args:
        frame: (C, H, W), uint8 or floating point.
        size: (height, width) of the result.
        antialias: filter before shrinking. False gives the reference's plain bilinear sampling with aligned corners.

    Returns:
        (C, *size), of the frame's dtype.

    Example:
        >>> resize_frame(torch.zeros(3, 8, 8, dtype=torch.uint8), (4, 6)).shape
        torch.Size([3, 4, 6])
    """
    height, width = size
    if tuple(frame.shape[-2:]) == (height, width):
        return frame
    plain = frame.as_tensor() if isinstance(frame, MetaTensor) else frame
    if not antialias:
        resized = functional.interpolate(plain[None], (height, width), mode="bilinear", align_corners=True)
        return resized.squeeze(0)
    batch = _batch_of_one(interleaved(plain))
    if height < plain.shape[-2]:  # torch goes along rows first; rows that will not be are better left out before
        batch = functional.interpolate(batch, (height, plain.shape[-1]), mode="bilinear", antialias=True)
    return functional.interpolate(batch, (height, width), mode="bilinear", antialias=True).squeeze(0)


def interleaved(frame: torch.Tensor) -> torch.Tensor:
    """The same frame with its colours side by side in memory, as torch's fast path for 8-bit resizing wants them.

    Args:
        frame: (C, H, W).

    Returns:
        (C, H, W), equal; another memory layout where it is a 3-channel uint8 frame on the CPU.

    Example:
        >>> interleaved(torch.zeros(3, 4, 5, dtype=torch.uint8)).stride()
        (1, 15, 3)
    """
    if not _rgb8(frame) or frame.stride(0) == 1:
        return frame
    return torch.from_numpy(cv2.merge(list(frame.numpy()))).permute(2, 0, 1)


def planar(frame: torch.Tensor) -> torch.Tensor:
    """The same frame with one plane a colour in memory, as networks want them; undoes `interleaved`.

    Args:
        frame: (C, H, W).

    Returns:
        (C, H, W), equal and contiguous.

    Example:
        >>> planar(interleaved(torch.zeros(3, 4, 5, dtype=torch.uint8))).stride()
        (20, 5, 1)
    """
    if not _rgb8(frame) or frame.stride(0) != 1:
        return frame.contiguous()
    planes = np.empty(tuple(frame.shape), np.uint8)
    cv2.split(frame.permute(1, 2, 0).contiguous().numpy(), list(planes))  # six times as fast as torch's copy
    return torch.from_numpy(planes)


def _rgb8(frame: torch.Tensor) -> bool:
    return frame.dtype == torch.uint8 and frame.shape[0] == 3 and frame.device.type == "cpu"


def _batch_of_one(frame: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) that keeps its layout: after a plain `[None]` torch takes interleaved bytes for planes."""
    return frame.permute(1, 2, 0)[None].permute(0, 3, 1, 2) if _rgb8(frame) and frame.stride(0) == 1 else frame[None]


class ResizeFramed(Recorded, MapTransform):
    """Resize frames to a base size, or until they fit into it, without leaving uint8; the affine follows.

    Args:
        keys: of the frames, (3, H, W).
        size: (height, width) in pixels.
        only_shrink: shorten what is longer than `size`, height and width each for itself, and enlarge nothing. The
            views that follow then resample small frames once, not twice: sooner done, sharper, and a cache holds
            fewer bytes. False brings every frame to exactly `size`, as arXiv 2506.08623 does.
        antialias: see `resize_frame`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> frame = {"image": torch.zeros(3, 8, 8, dtype=torch.uint8)}
        >>> ResizeFramed("image", size=(4, 6))(frame)["image"].shape
        torch.Size([3, 4, 6])
        >>> ResizeFramed("image", size=(4, 6), only_shrink=True)(frame)["image"].shape
        torch.Size([3, 4, 6])
        >>> ResizeFramed("image", size=(10, 6), only_shrink=True)(frame)["image"].shape
        torch.Size([3, 8, 6])
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        *,
        only_shrink: bool = False,
        antialias: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = (int(size[0]), int(size[1]))
        self.only_shrink = only_shrink
        self.antialias = antialias

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the frames resized."""
        result = dict(data)
        for key in self.key_iterator(result):
            frame = result[key]
            old = (int(frame.shape[-2]), int(frame.shape[-1]))
            new = (min(old[0], self.size[0]), min(old[1], self.size[1])) if self.only_shrink else self.size
            if old == new:
                continue
            resized = resize_frame(frame, new, antialias=self.antialias)
            if isinstance(frame, MetaTensor):
                scale = _voxel_scale(old, new, frame.affine)
                resized = MetaTensor(resized, meta={**frame.meta, "affine": frame.affine @ scale})
            result[key] = resized
        return result


def _voxel_scale(old: Sequence[int], new: Sequence[int], affine: torch.Tensor) -> torch.Tensor:
    """Affine from new to old voxel indices; pixel centres lie at integers, so borders, not centres, are aligned."""
    scale = torch.eye(affine.shape[-1], dtype=affine.dtype)
    for axis, (old_length, new_length) in enumerate(zip(old, new, strict=True)):
        ratio = old_length / new_length
        scale[axis, axis] = ratio
        scale[axis, -1] = (ratio - 1) / 2
    return scale
