"""Learn from probabilities of the classes where the data list has them, and from the class where it has not."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils.enums import CommonKeys

from fetal_monai.data.soft_labels import SOFT_LABEL


class SoftLabels(PrepareBatch):
    """Put `soft_label` in the place of `label`, for the trainer; class numbers stay for everything else.

    Validation leaves it out, so that metrics hold predictions to the class.

    Args:
        prepare_batch: makes the network's arguments of the batch, as without soft labels.

    Example:
        >>> from monai.engines import PrepareBatchDefault
        >>> batch = {"image": torch.zeros(1, 3, 8, 8), "label": torch.tensor([1])}
        >>> prepare = SoftLabels(PrepareBatchDefault())
        >>> prepare(batch)[1], prepare({**batch, "soft_label": torch.tensor([[0.25, 0.75]])})[1]
        (tensor([1]), tensor([[0.2500, 0.7500]]))
    """

    def __init__(self, prepare_batch: PrepareBatch) -> None:
        self.prepare_batch = prepare_batch

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return what `prepare_batch` does, with the label int64 (B,) or float32 (B, C)."""
        if SOFT_LABEL in batchdata:
            batchdata = {**batchdata, CommonKeys.LABEL: batchdata[SOFT_LABEL]}
        return self.prepare_batch(batchdata, device, non_blocking, **kwargs)
