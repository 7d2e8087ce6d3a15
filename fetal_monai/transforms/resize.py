"""Resizing 8-bit frames, antialiased, with the geometry kept."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.nn import functional

from fetal_monai.recorded import Recorded


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
    if antialias and plain.dtype == torch.uint8 and height >= plain.shape[-2] and width >= plain.shape[-1]:
        return _enlarge(plain, height, width)
    resized = functional.interpolate(
        interleaved(plain).unsqueeze(0) if antialias else plain.unsqueeze(0),
        size=(height, width),
        mode="bilinear",
        antialias=antialias,
        align_corners=None if antialias else True,
    )
    return resized.squeeze(0)


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
    if frame.dtype != torch.uint8 or frame.shape[0] != 3 or frame.device.type != "cpu" or frame.stride(0) == 1:
        return frame
    return torch.from_numpy(cv2.merge(list(frame.numpy()))).permute(2, 0, 1)


def _enlarge(frame: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear enlargement, where there is nothing to antialias: OpenCV needs half of torch's time."""
    rows = interleaved(frame).permute(1, 2, 0).cpu().contiguous().numpy()
    resized = cv2.resize(rows, (width, height), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized.reshape(height, width, -1)).permute(2, 0, 1).to(frame.device)


class ResizeFramed(Recorded, MapTransform):
    """Resize frames to a common base size without leaving uint8; the affine follows.

    Args:
        keys: of the frames, (3, H, W).
        size: (height, width) in pixels.
        antialias: see `resize_frame`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> ResizeFramed("image", size=(4, 6))({"image": torch.zeros(3, 8, 8, dtype=torch.uint8)})["image"].shape
        torch.Size([3, 4, 6])
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        *,
        antialias: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = (int(size[0]), int(size[1]))
        self.antialias = antialias

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the frames resized."""
        result = dict(data)
        for key in self.key_iterator(result):
            frame = result[key]
            if tuple(frame.shape[-2:]) == self.size:
                continue
            resized = resize_frame(frame, self.size, antialias=self.antialias)
            if isinstance(frame, MetaTensor):
                scale = _voxel_scale(frame.shape[-2:], self.size, frame.affine)
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
