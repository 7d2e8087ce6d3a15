"""Random transforms of the recipe that MONAI lacks, on uint8 frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.config import KeysCollection

from fetal_monai.transforms.random_frames import Change, RandFramesd

MAX_TRIES = 10
RGB_TO_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as for JPEG


class RandCropByAread(RandFramesd):
    """Crop a random part of the frame, drawn by its area and aspect ratio.

    It is the crop of torchvision's RandomResizedCrop. The resizing is left to the views that follow, which squash
    whatever they get: resampling once is faster and blurs less than resampling twice.

    Args:
        keys: of the frames, (3, H, W); all get the same crop.
        prob: of cropping at all.
        scale: smallest and largest area, as shares of the frame's.
        aspect: smallest and largest width / height, drawn log-uniformly.
        proportions: (height, width) of the screen that `aspect` is meant on; other frames are cropped as if stretched
            to it, so that all lose the same shares of height and width. None: their own pixels.
        allow_missing_keys: skip absent keys.

    Example:
        >>> crop = RandCropByAread("image", prob=1.0, scale=(0.5, 0.5), aspect=(1.0, 1.0)).set_random_state(0)
        >>> crop({"image": torch.zeros(3, 100, 200)})["image"].shape
        torch.Size([3, 100, 100])
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        scale: Sequence[float] = (0.8, 1.0),
        aspect: Sequence[float] = (0.9, 1.2),
        *,
        proportions: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys=allow_missing_keys)
        self.scale = (float(scale[0]), float(scale[1]))
        self.aspect = (float(aspect[0]), float(aspect[1]))
        self.proportions = proportions and (int(proportions[0]), int(proportions[1]))

    def draw_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width of a crop inside a frame of that size."""
        screen = self.proportions or (height, width)
        stretch = (width / height) / (screen[1] / screen[0])
        low, high = self.aspect[0] * stretch, self.aspect[1] * stretch
        for _ in range(MAX_TRIES):
            area = height * width * self.R.uniform(*self.scale)
            aspect = math.exp(self.R.uniform(math.log(low), math.log(high)))
            crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < crop_width <= width and 0 < crop_height <= height:
                top = int(self.R.randint(0, height - crop_height + 1))
                left = int(self.R.randint(0, width - crop_width + 1))
                return top, left, crop_height, crop_width
        # No draw fits (a frame far outside the aspect range): the largest central part inside the range.
        crop_width = min(width, round(height * high))
        crop_height = min(height, round(crop_width / low))
        return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width

    def draw(self, height: int, width: int) -> Change:
        """Draw the crop."""
        top, left, crop_height, crop_width = self.draw_box(height, width)
        return lambda frame: frame[:, top : top + crop_height, left : left + crop_width]


class RandColorJitterd(RandFramesd):
    """Change brightness, contrast and saturation by random factors.

    Args:
        keys: of the frames, (3, H, W), values 0..255; all get the same change.
        prob: of changing at all.
        strength: factors are drawn uniformly from [1 - strength, 1 + strength].
        allow_missing_keys: skip absent keys.

    Example:
        >>> frame = torch.full((3, 2, 2), 100, dtype=torch.uint8)
        >>> RandColorJitterd("image", prob=1.0, strength=0.0)({"image": frame})["image"].unique().tolist()
        [100]
    """

    def __init__(
        self, keys: KeysCollection, prob: float, strength: float = 0.05, *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys=allow_missing_keys)
        self.strength = strength

    def draw(self, height: int, width: int) -> Change:
        """Draw the three factors."""
        del height, width
        brightness, contrast, saturation = self.R.uniform(1 - self.strength, 1 + self.strength, size=3)

        def change(frame: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = frame.to(torch.float32) * brightness
            values = (values - values.mean()) * contrast + values.mean()
            grey = _grey(values)
            values = (values - grey) * saturation + grey
            return values.round().clamp(0, 255).to(frame.dtype)

        return change


class RandGrayscaled(RandFramesd):
    """Take the colour out of a frame.

    Args:
        keys: of the frames, (3, H, W), values 0..255.
        prob: of doing so.
        allow_missing_keys: skip absent keys.

    Example:
        >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1)
        >>> RandGrayscaled("image", prob=1.0)({"image": red})["image"].flatten().tolist()
        [76, 76, 76]
    """

    def draw(self, height: int, width: int) -> Change:
        """Draw nothing: a frame has one grey."""
        del height, width
        return lambda frame: _grey(frame.to(torch.float32)).round().clamp(0, 255).to(frame.dtype).repeat(3, 1, 1)


def _grey(frame: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(RGB_TO_GREY, dtype=frame.dtype, device=frame.device).view(3, 1, 1)
    return (frame * weights).sum(0, keepdim=True)
