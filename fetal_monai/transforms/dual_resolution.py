"""One frame, two views: a small one for the shallow branch and a large one for the detailed branch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from fetal_monai.transforms.resize import interleaved, planar, resize_frame
from fetal_monai.utils.serialization import Recorded, rebuild
from fetal_monai.utils.shallow_view import shallow_view

SHALLOW_POSTFIX = "_shallow"


def standardise(frame: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Scale 0..255 to 0..1, then subtract the mean and divide by the standard deviation of each channel.

    Args:
        frame: (3, H, W), values 0..255, uint8 or floating point.
        mean: per channel, of values in 0..1.
        std: per channel.

    Returns:
        (3, H, W) float32.

    Example:
        >>> standardise(torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2), [0.5] * 3, [0.5] * 3)[0].tolist()
        [[-1.0, 1.0]]
    """
    # (x - 255 mean) / (255 std): black and white come out exactly, which a multiplication by 1 / std would not do.
    centre, width = (
        torch.tensor([255 * value for value in values], dtype=torch.float32, device=frame.device).view(3, 1, 1)
        for values in (mean, std)
    )
    return planar(frame).to(torch.float32, copy=True).sub_(centre).div_(width)


class DualResolutiond(Recorded, MapTransform):
    """Squash the whole frame to two views, as the dual-branch classifier wants them (arXiv 2506.08623, section 3).

    The detailed view replaces the frame and keeps its metadata; the shallow view lands under `<key>_shallow`.

    Args:
        keys: of the frames, (3, H, W), values 0..255.
        detailed_size: (height, width) of the detailed view.
        shallow_size: (height, width) of the shallow view, or None to make none (single-branch networks).
        mean: per channel, of values in 0..1.
        std: per channel.
        antialias: filter before shrinking the frame. False is the reference's plain bilinear sampling.
        shallow_from: "detailed" makes the shallow view from the finished detailed one, by the function with which the
            network does when it is given one view: to the bit what an export with one input sees. "frame" resizes the
            frame a second time, as the reference does.
        allow_missing_keys: skip absent keys.

    Raises:
        ValueError: if `shallow_from` is neither.

    Example:
        >>> frame = torch.zeros(3, 852, 1136, dtype=torch.uint8)
        >>> views = DualResolutiond("image", detailed_size=(528, 528), shallow_size=(224, 224))({"image": frame})
        >>> views["image"].shape, views["image_shallow"].shape, views["image"].min().item()
        (torch.Size([3, 528, 528]), torch.Size([3, 224, 224]), -1.0)
    """

    def __init__(
        self,
        keys: KeysCollection,
        detailed_size: Sequence[int],
        shallow_size: Sequence[int] | None,
        *,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        antialias: bool = True,
        shallow_from: Literal["frame", "detailed"] = "frame",  # what records from before it existed stand for
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if shallow_from not in {"frame", "detailed"}:
            raise ValueError(f"shallow_from is {shallow_from!r}; give 'frame' or 'detailed'")
        self.detailed_size = (int(detailed_size[0]), int(detailed_size[1]))
        self.shallow_size = (int(shallow_size[0]), int(shallow_size[1])) if shallow_size is not None else None
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.antialias = antialias
        self.shallow_from = shallow_from

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return `data` with the detailed view under each key and the shallow view beside it."""
        result = dict(data)
        for key in self.key_iterator(result):
            frame = result[key]
            meta = frame.meta if isinstance(frame, MetaTensor) else None
            plain = interleaved(frame.as_tensor() if isinstance(frame, MetaTensor) else frame)
            detailed = self._view(plain, self.detailed_size)
            result[key] = detailed if meta is None else MetaTensor(detailed, meta=meta, applied_operations=[])
            if self.shallow_size is not None:
                result[f"{key}{SHALLOW_POSTFIX}"] = (
                    self._view(plain, self.shallow_size)
                    if self.shallow_from == "frame"
                    else shallow_view(detailed[None], list(self.shallow_size))[0]
                )
        return result

    def without_shallow(self) -> DualResolutiond:
        """The same, but for the shallow view, which is not made."""
        return rebuild({**self.config, "shallow_size": None})  # type: ignore[no-any-return]

    def _view(self, frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return standardise(resize_frame(frame, size, antialias=self.antialias), self.mean, self.std)


def leave_shallow_to_network(views: Sequence[Any]) -> list[Any]:
    """Take out of a loader's transforms what the network does to the same end, once for a batch and on its own device.

    A network that is given the detailed view alone derives the shallow one by the function that is used here, so that
    nothing else changes. A shallow view that is made from the frame stays.

    Args:
        views: transforms; they are not changed.

    Returns:
        The transforms, those in the place of a `DualResolutiond` with `shallow_from="detailed"` without shallow view.

    Example:
        >>> views = [DualResolutiond("image", (528, 528), (224, 224), shallow_from="detailed")]
        >>> frame = {"image": torch.zeros(3, 852, 1136, dtype=torch.uint8)}
        >>> list(views[0](frame)), list(leave_shallow_to_network(views)[0](frame))
        (['image', 'image_shallow'], ['image'])
    """
    return [
        view.without_shallow() if isinstance(view, DualResolutiond) and view.shallow_from == "detailed" else view
        for view in views
    ]
