"""What random transforms of frames share: a chance to act, and one draw for all frames of an item."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

Change = Callable[[torch.Tensor], torch.Tensor]


class RandFramesd(RandomizableTransform, MapTransform):
    """Change frames by chance; a subclass draws how.

    Args:
        keys: of the frames, (3, H, W), values 0..255; all get the same change.
        prob: of changing at all.
        allow_missing_keys: skip absent keys.

    Example:
        >>> class RandInvertd(RandFramesd):
        ...     def draw(self, height, width):
        ...         return lambda frame: 255 - frame
        >>> RandInvertd("image", prob=1.0)({"image": torch.zeros(3, 1, 1, dtype=torch.uint8)})["image"].unique()
        tensor([255], dtype=torch.uint8)
    """

    def __init__(self, keys: KeysCollection, prob: float, *, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)

    def draw(self, height: int, width: int) -> Change:
        """Draw a change from `self.R`.

        Args:
            height: of the first frame.
            width: of the first frame.

        Returns:
            What makes the new frame from the old one, which it leaves as it is.
        """
        raise NotImplementedError

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the frames changed, or as it is."""
        result = dict(data)
        self.randomize(None)
        first = self.first_key(result)
        if self._do_transform and first != ():
            change = self.draw(*map(int, result[first].shape[-2:]))
            for key in self.key_iterator(result):
                result[key] = change(result[key])
        return result
