"""What people and scanners write over a picture: calipers, text, a banner. A classifier must not care."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from numpy.typing import NDArray

from fetal_monai.transforms.random_frames import Change, RandFramesd

Frame = NDArray[np.uint8]
COLOURS = ((255, 255, 255), (200, 200, 200), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 160, 0))
LETTERS = "ABCDEFGHIKLMNOPRSTUVXZ 0123456789.:/-+"
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)


def draw_calipers(frame: Frame, random: np.random.RandomState) -> None:
    """Draw a measurement into a frame: two crosses, most often with a dotted line between them.

    Args:
        frame: (H, W, 3) uint8 RGB, C-contiguous; changed in place.
        random: where it is drawn from.
    """
    height, width = frame.shape[:2]
    ends = random.uniform(0.1, 0.9, size=(2, 2)) * (width, height)
    arm = max(2, round(random.uniform(0.008, 0.02) * height))
    colour = COLOURS[random.randint(len(COLOURS))]
    kind = cv2.MARKER_CROSS if random.rand() < 0.5 else cv2.MARKER_TILTED_CROSS
    for x, y in ends:
        cv2.drawMarker(frame, (round(x), round(y)), colour, kind, 2 * arm + 1)
    if random.rand() < 0.7:
        for share in np.linspace(0, 1, max(2, int(np.hypot(*(ends[1] - ends[0])) / (2 * arm)))):
            x, y = ends[0] + share * (ends[1] - ends[0])
            frame[round(y), round(x)] = colour


def draw_text(frame: Frame, random: np.random.RandomState, *, rows: tuple[float, float] = (0.05, 0.98)) -> None:
    """Write a few random characters into a frame.

    Args:
        frame: (H, W, 3) uint8 RGB, C-contiguous; changed in place.
        random: where they are drawn from.
        rows: between which shares of the height the baseline lies.
    """
    height, width = frame.shape[:2]
    text = "".join(LETTERS[index] for index in random.randint(len(LETTERS), size=random.randint(3, 16)))
    place = (int(random.uniform(0, 0.8) * width), int(random.uniform(*rows) * height))
    colour = COLOURS[random.randint(len(COLOURS))]
    scale = random.uniform(0.0008, 0.002) * height
    cv2.putText(frame, text, place, FONTS[random.randint(len(FONTS))], scale, colour, 1, cv2.LINE_AA)


def draw_banner(frame: Frame, random: np.random.RandomState) -> None:
    """Lay a dark strip with text over the top of a frame, as scanners do.

    Args:
        frame: (H, W, 3) uint8 RGB, C-contiguous; changed in place.
        random: where it is drawn from.
    """
    share = random.uniform(0.03, 0.1)
    frame[: max(1, round(share * frame.shape[0]))] = random.randint(0, 50, size=3)
    for _ in range(random.randint(1, 4)):
        draw_text(frame, random, rows=(0.5 * share, share))


class RandScreenMarksd(RandFramesd):
    """Draw calipers, text or a banner over frames, each drawn anew, so that none of them tells of a class.

    Args:
        keys: of the frames, (3, H, W), values 0..255; each gets marks of its own.
        prob: of marking a frame at all; then one to three kinds of mark are drawn.
        allow_missing_keys: skip absent keys.

    Example:
        >>> frame = torch.zeros(3, 120, 160, dtype=torch.uint8)
        >>> marked = RandScreenMarksd("image", prob=1.0).set_random_state(0)({"image": frame})["image"]
        >>> marked.dtype, marked.shape, bool(marked.any())
        (torch.uint8, torch.Size([3, 120, 160]), True)
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.2, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, prob, allow_missing_keys=allow_missing_keys)

    def draw(self, height: int, width: int) -> Change:
        """Draw nothing yet: each frame gets marks of its own."""
        del height, width
        return self._marked

    def _marked(self, frame: torch.Tensor) -> torch.Tensor:
        plain = frame.as_tensor() if isinstance(frame, MetaTensor) else frame
        canvas = np.ascontiguousarray(plain.clamp(0, 255).to(torch.uint8).cpu().permute(1, 2, 0).numpy()).copy()
        draws = (draw_calipers, draw_text, draw_banner)
        for index in self.R.permutation(len(draws))[: self.R.randint(1, len(draws) + 1)]:
            draws[index](canvas, self.R)
        marked = torch.from_numpy(canvas).permute(2, 0, 1).contiguous().to(plain)
        return MetaTensor(marked, meta=frame.meta) if isinstance(frame, MetaTensor) else marked
