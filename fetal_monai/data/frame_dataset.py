"""A data set of frames that keeps what the deterministic transforms made: in memory, on disk, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from monai.data import CacheDataset
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait

from fetal_monai.data.frame_store import FrameStore
from fetal_monai.data.transform_records import describe_transforms
from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.untracked import untracked


class FrameDataset(CacheDataset):
    """MONAI's `CacheDataset` for a data list of frames, with a second cache on disk.

    The results of the first transforms are kept, and nothing else of an item: a label that is corrected in the CSV is
    used at once. Items are the same with and without caches. Metadata end with those first transforms: to take them
    through the others, the collation and a network costs more than to resize a frame.

    Args:
        data: items with a `FrameRef` or path under each key that the first transforms load.
        transform: the whole chain.
        kept: how many of its first transforms the caches keep the result of; at most those before the first random one.
        cache_rate: the share of the items kept in memory, the first ones; they are loaded at once.
        cache_dir: a folder that keeps uint8 frames from one training to the next, see `FrameStore`; None: no folder.
        num_workers: threads that fill the memory.
        progress: whether to show how that goes on.

    Raises:
        InputError: if the folder cannot be used.
        FetalMonaiError: if there is a folder and the first transforms make anything but uint8 frames of what they load,
            or have parameters that cannot be compared.

    Example:
        >>> from monai.transforms import Flipd
        >>> items = [{"image": torch.arange(3, dtype=torch.uint8).view(1, 1, 3), "label": 1}]
        >>> frames = FrameDataset(items, Compose([Flipd("image", 1)]), kept=1, cache_rate=1.0, progress=False)
        >>> frames[0]["image"].tolist(), frames[0]["label"]
        ([[[2, 1, 0]]], 1)
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Compose,
        *,
        kept: int,
        cache_rate: float = 0.0,
        cache_dir: str | PathLike[str] | None = None,
        num_workers: int = 2,
        progress: bool = True,
    ) -> None:
        first_random = transform.get_index_of_first(lambda one: isinstance(one, RandomizableTrait))
        self.kept = kept if first_random is None else min(kept, first_random)
        first = transform.transforms[: self.kept]
        self.keys = sorted({str(key) for one in first for key in getattr(one, "keys", ())})
        self.store = None if cache_dir is None else FrameStore(cache_dir, describe_transforms(first))
        # What is kept is never written to: the transforms that follow make new tensors.
        super().__init__(data, transform, cache_rate=cache_rate, num_workers=num_workers, progress=progress)

    def _load_cache_item(self, idx: int) -> dict[str, Any]:
        item = self.data[idx]
        places = {} if self.store is None else {key: self.store.place(item[key], key) for key in self.keys}
        if self.store is None or None in places.values():  # a file that is gone is named by whoever tries to read it
            return self._made(item)
        frames = {key: self.store.load(place) for key, place in places.items() if place}
        if None not in frames.values():
            return frames
        made = self._made(item)
        if made.keys() - frames.keys():
            names = ", ".join(sorted(made.keys() - frames.keys()))
            raise FetalMonaiError(
                f"cache_dir: preprocessing adds {names} to an item, and only frames are kept on disk; move what adds "
                "it from preprocessing to augmentation or views, or leave cache_dir out"
            )
        for key, place in places.items():
            if place:
                self.store.save(place, made[key])
        return made

    def _transform(self, index: int) -> Any:
        index %= len(self)
        kept = self._cache[index] if index < self.cache_num else self._load_cache_item(index)
        item = self.transform({**self.data[index], **kept}, start=self.kept)
        return {key: untracked(value) for key, value in item.items()}  # MONAI's transforms begin to track anew

    def _made(self, item: Mapping[str, Any]) -> dict[str, Any]:
        result = self.transform(dict(item), end=self.kept, threading=True)
        return {key: _plain(value) for key, value in result.items() if key not in item or value is not item[key]}


def _plain(value: Any) -> Any:
    """Without metadata; frames with the colours of a pixel side by side in memory, as resizing wants them."""
    value = untracked(value)
    if isinstance(value, torch.Tensor) and value.dtype == torch.uint8 and value.ndim == 3:
        return value.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return value
