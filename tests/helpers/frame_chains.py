"""Frames of the phantom, a chain that preprocesses and augments them, and epochs of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, LoadImaged, RandAxisFlipd

from fetal_monai.data import FrameDataset, list_frames
from fetal_monai.dicom import UltrasoundReader
from fetal_monai.transforms import DualResolutiond, MaskBannerd, RandCropByAread, ResizeFramed


def load(**options: Any) -> LoadImaged:
    return LoadImaged("image", reader=UltrasoundReader(**options), dtype=np.uint8, expanduser=False)


def prefix(size=(180, 240), fraction=0.08, **options: Any) -> list[Any]:
    return [
        load(**options),
        ResizeFramed("image", size=size, only_shrink=True),
        MaskBannerd("image", fraction=fraction),
    ]


def chain(first: list[Any] | None = None) -> Compose:
    return Compose(
        [
            *(first or prefix()),
            RandCropByAread("image", prob=0.5, scale=(0.8, 1.0), aspect=(0.9, 1.2)),
            RandAxisFlipd("image", prob=0.7),
            DualResolutiond("image", detailed_size=(48, 64), shallow_size=(32, 32), shallow_from="detailed"),
        ]
    )


@pytest.fixture(scope="module")
def items(phantom):
    """Stills and frames of clips, JPEG and RGB, each with a label."""
    frames = list_frames(phantom)
    chosen = [item for item in frames if item["frame"] == -1][:8] + [item for item in frames if item["frame"] >= 0][:8]
    return [{**item, "label": number} for number, item in enumerate(chosen)]


def epochs(items, workers=0, count=2, **caches: Any) -> list[dict[str, Any]]:
    """The batches of some epochs, seeded."""
    transform = chain()
    frames = FrameDataset(items, transform, kept=3, progress=False, **caches)
    batches = []
    for epoch in range(count):
        torch.manual_seed(epoch)
        transform.set_random_state(epoch)
        batches += list(DataLoader(frames, batch_size=5, shuffle=True, num_workers=workers))
    return batches


def assert_same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        assert torch.equal(ours["label"], theirs["label"])
        for key in ("image", "image_shallow"):
            assert type(ours[key]) is torch.Tensor
            assert torch.equal(ours[key], theirs[key])
