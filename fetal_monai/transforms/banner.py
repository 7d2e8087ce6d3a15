"""The vendor's banner: rows at the top of the screen with text that no network should read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from fetal_monai.transforms.resize import interleaved
from fetal_monai.utils.serialization import Recorded

REFERENCE_FRACTION = 68 / 852
"""Rows 0-67 of 852 hold the banner of the GE Voluson screens in arXiv 2506.08623."""

REFERENCE_FILL = (19, 22, 25)
"""The RGB of the screen's background there."""


def mask_banner(
    frame: torch.Tensor, fraction: float = REFERENCE_FRACTION, fill: Sequence[int] = REFERENCE_FILL
) -> torch.Tensor:
    """Return a copy of the frame with the rows of the banner filled.

    Args:
        frame: (3, H, W), values 0..255.
        fraction: share of the height, 0 <= fraction < 1, rounded to whole rows.
        fill: RGB, 0..255.

    Returns:
        (3, H, W), of the frame's type.

    Example:
        >>> mask_banner(torch.zeros(3, 852, 4, dtype=torch.uint8))[:, 67:69, 0].tolist()
        [[19, 0], [22, 0], [25, 0]]
    """
    rows = round(fraction * frame.shape[-2])
    if rows == 0:
        return frame
    plain = frame.as_tensor() if isinstance(frame, MetaTensor) else frame
    masked = interleaved(plain)  # a copy in the layout that resizing wants, where it is one
    if masked is plain:
        masked = plain.clone()
    masked[:, :1] = torch.tensor(fill, dtype=plain.dtype, device=plain.device).view(3, 1, 1)
    masked[:, 1:rows] = masked[:, :1]  # rows are copied ten times as fast as three values are spread
    return MetaTensor(masked, meta=frame.meta, applied_operations=[]) if isinstance(frame, MetaTensor) else masked


class MaskBannerd(Recorded, MapTransform):
    """Fill the vendor's banner at the top of frames with the screen's background colour.

    Args:
        keys: of the frames, (3, H, W), values 0..255.
        fraction: share of the height that the banner takes; 0 leaves the frame alone.
        fill: RGB, 0..255.
        allow_missing_keys: skip absent keys.

    Raises:
        ValueError: if the fraction is outside [0, 1).

    Example:
        >>> frame = torch.full((3, 10, 4), 200, dtype=torch.uint8)
        >>> MaskBannerd("image", fraction=0.1)({"image": frame})["image"][:, :2, 0].tolist()
        [[19, 200], [22, 200], [25, 200]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        fraction: float = REFERENCE_FRACTION,
        fill: Sequence[int] = REFERENCE_FILL,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 <= fraction < 1:
            raise ValueError(f"the banner's fraction of the height must be in [0, 1), got {fraction}")
        self.fraction = fraction
        self.fill = tuple(fill)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the banners filled."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = mask_banner(result[key], self.fraction, self.fill)
        return result
