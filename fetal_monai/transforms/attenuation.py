"""What depth and bone do to brightness: random gain along depth, random acoustic shadows."""

from __future__ import annotations

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray

from fetal_monai.transforms.random_frames import Change, RandFramesd

SLIDERS = 6  # of a scanner's time gain compensation; most have six to eight
SHADOW_WIDTH = (0.03, 0.12)  # standard deviation, as a share of the frame's width


class _RandAttenuationd(RandFramesd):
    """Multiply frames by a random map of gains; subclasses draw it."""

    def __init__(self, keys: KeysCollection, prob: float, strength: float, *, allow_missing_keys: bool) -> None:
        super().__init__(keys, prob, allow_missing_keys=allow_missing_keys)
        self.strength = strength

    def draw_gain(self, height: int, width: int) -> NDArray[np.float32]:
        """Draw the gains, float32 broadcastable to (height, width)."""
        raise NotImplementedError

    def draw(self, height: int, width: int) -> Change:
        """Draw the gains."""
        gain = torch.from_numpy(self.draw_gain(height, width))

        def change(frame: torch.Tensor) -> torch.Tensor:
            values = (frame.to(torch.float32) * gain.to(frame.device)).clamp(0, 255)
            return values if frame.is_floating_point() else values.round().to(frame.dtype)

        return change


class RandDepthGaind(_RandAttenuationd):
    """Turn the sliders of the time gain compensation: a random gain that changes smoothly from top to bottom.

    Args:
        keys: of the frames, (3, H, W), values 0..255; all of one size get the same gains.
        prob: of doing so.
        strength: gains are drawn log-uniformly from exp(-strength) to exp(strength), one for each of six depths.
        allow_missing_keys: skip absent keys.

    Example:
        >>> frame = torch.full((3, 4, 5), 100, dtype=torch.uint8)
        >>> gained = RandDepthGaind("image", prob=1.0, strength=0.4).set_random_state(0)({"image": frame})["image"]
        >>> gained.dtype, bool((gained[:, :, :1] == gained).all())
        (torch.uint8, True)
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.3, strength: float = 0.4, *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, strength, allow_missing_keys=allow_missing_keys)

    def draw_gain(self, height: int, width: int) -> NDArray[np.float32]:
        """Draw one gain a row, (height, 1)."""
        del width
        logs = self.R.uniform(-self.strength, self.strength, size=SLIDERS)
        rows = np.interp(np.linspace(0, SLIDERS - 1, height), np.arange(SLIDERS), logs)
        return np.exp(rows, dtype=np.float32)[:, None]


class RandShadowd(_RandAttenuationd):
    """Cast an acoustic shadow, as bone and gas do: a dark band that begins at some depth and goes on below.

    Args:
        keys: of the frames, (3, H, W), values 0..255; all of one size get the same shadow.
        prob: of doing so.
        strength: largest share of the brightness lost in the middle of the band, 0 to 1; the least is 0.3 of it.
        allow_missing_keys: skip absent keys.

    Example:
        >>> frame = torch.full((3, 40, 50), 100, dtype=torch.uint8)
        >>> shadowed = RandShadowd("image", prob=1.0).set_random_state(0)({"image": frame})["image"]
        >>> shadowed[0, 0].min().item(), shadowed[0, -1].min().item() < 80
        (100, True)
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.2, strength: float = 0.8, *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, strength, allow_missing_keys=allow_missing_keys)

    def draw_gain(self, height: int, width: int) -> NDArray[np.float32]:
        """Draw a gain a pixel, (height, width)."""
        centre, spread = self.R.uniform(0, width), self.R.uniform(*SHADOW_WIDTH) * width
        start = self.R.uniform(0.1, 0.6) * height
        loss = self.R.uniform(0.3, 1.0) * self.strength
        across = np.exp(-0.5 * ((np.arange(width) - centre) / spread) ** 2)
        down = np.clip((np.arange(height) - start) / (0.1 * height), 0, 1)  # its upper end is no sharp edge
        return np.asarray(1 - loss * down[:, None] * across[None], dtype=np.float32)
