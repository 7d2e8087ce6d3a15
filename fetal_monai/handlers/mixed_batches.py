"""Mixup and cutmix of whole batches, on what MONAI has, with the labels that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from typing import Any

import torch
from monai.engines import PrepareBatch, default_prepare_batch
from monai.transforms import CutMix, MixUp
from monai.utils import convert_to_tensor
from torch.nn import functional

from fetal_monai.data.soft_labels import SOFT_LABEL
from fetal_monai.errors import FetalMonaiError


class MixedBatches(PrepareBatch):
    """Prepare a batch for the trainer: mixed images, and class probabilities as labels.

    Labels are mixed as probabilities, those of `soft_label` where the batch has it. Only `image` is mixed and passed
    on; the network derives the coarse view from it, so that both views show the same mixture. The random state is
    torch's, so `SeedEpochs` and `set_determinism` rule it.

    Args:
        mixer: `monai.transforms.MixUp` (Zhang et al. 2018, arXiv 1710.09412) or `RectangleMix` below; its batch size is
            set to that of each batch.
        num_classes: number of classes C.

    Example:
        >>> from monai.transforms import MixUp
        >>> prepare = MixedBatches(MixUp(batch_size=1, alpha=0.2), num_classes=3)
        >>> images, labels = prepare({"image": torch.zeros(4, 3, 8, 8), "label": torch.tensor([0, 1, 2, 2])})
        >>> images.shape, labels.shape, round(labels.sum().item(), 3)
        (torch.Size([4, 3, 8, 8]), torch.Size([4, 3]), 4.0)
    """

    def __init__(self, mixer: MixUp | CutMix, num_classes: int) -> None:
        self.mixer = mixer
        self.num_classes = num_classes

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mixed images (B, 3, H, W) and their class probabilities (B, C)."""
        image, label, *_ = default_prepare_batch(batchdata)
        image = convert_to_tensor(image, track_meta=False)
        if not isinstance(label, torch.Tensor):
            raise FetalMonaiError("mixing needs labels, and the batch has none")
        self.mixer.batch_size = len(image)
        self.mixer.set_random_state(int(torch.randint(2**31, ())))
        self.mixer.randomize(image)
        labels = batchdata.get(SOFT_LABEL)
        if labels is None:
            labels = functional.one_hot(label.long(), self.num_classes)
        labels = convert_to_tensor(labels, track_meta=False).to(image.dtype)
        image = self.mixer.apply(image)
        if isinstance(self.mixer, CutMix):
            labels = self.mixer.apply_on_labels(labels)
        else:
            labels = self.mixer.apply(labels[:, :, None, None])[:, :, 0, 0]
        # Moved last, because MONAI keeps the mixing weights on the CPU.
        moved = {"device": device, "non_blocking": non_blocking, **kwargs}
        return image.to(**moved), labels.to(**moved)


class RectangleMix(CutMix):
    """MONAI's CutMix with labels mixed by the area that was really pasted (Yun et al. 2019, arXiv 1905.04899).

    MONAI mixes the labels by the area drawn, although a rectangle that crosses the border is cut off there; and it
    indexes in a way that torch is about to give another meaning.

    Args:
        batch_size: images in a batch.
        alpha: of the Beta distribution of the area kept.
    """

    def apply(self, data: torch.Tensor) -> torch.Tensor:
        """Paste a rectangle of its partner into each image of (B, C, H, W)."""
        _, partners, _ = self._params
        mixed = data.clone()
        self._kept = torch.ones(len(data), 1)
        for row, (rows, columns) in enumerate(self._rectangles(data.shape[2:])):
            mixed[row, :, rows, columns] = data[partners[row], :, rows, columns]
            self._kept[row] -= mixed[row, 0, rows, columns].numel() / data[row, 0].numel()
        return mixed

    def apply_on_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Mix labels (B, C) by the area that each image kept in the last `apply`."""
        _, partners, _ = self._params
        return self._kept * labels + (1 - self._kept) * labels[partners]

    def _rectangles(self, sides: Sequence[int]) -> Iterator[tuple[slice, ...]]:
        weights, _, corners = self._params
        for weight in weights:
            yield tuple(
                slice(int(corner), min(ceil(int(corner) + side * sqrt(1 - weight)), side))
                for corner, side in zip(corners, sides, strict=True)
            )
