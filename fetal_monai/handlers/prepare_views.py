"""From a batch to the network's arguments: the detailed view, and the shallow one where there is one."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines.utils import PrepareBatch, PrepareBatchExtraInput
from monai.utils.enums import CommonKeys

from fetal_monai.transforms.dual_resolution import SHALLOW_POSTFIX

SHALLOW = f"{CommonKeys.IMAGE}{SHALLOW_POSTFIX}"


class PrepareViews(PrepareBatch):
    """A batch as `network(image, image_shallow)` wants it, or `network(image)` if the preprocessing makes one view.

    Example:
        >>> batch = {"image": torch.zeros(2, 3, 8, 8), "image_shallow": torch.zeros(2, 3, 4, 4)}
        >>> image, label, others, _ = PrepareViews()(batch)
        >>> image.shape, label, [view.shape for view in others]
        (torch.Size([2, 3, 8, 8]), None, [torch.Size([2, 3, 4, 4])])
    """

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, ...], dict[str, Any]]:
        """Move to the device.

        Args:
            batchdata: holds `image`, perhaps `image_shallow` and `label`.
            device: where to.
            non_blocking: do not wait for the copy.
            kwargs: further ones of `Tensor.to`.

        Returns:
            Image, label (None where there is none), the network's other arguments, and none by name.
        """
        others = [SHALLOW] if SHALLOW in batchdata else []
        return PrepareBatchExtraInput(others)(batchdata, device, non_blocking, **kwargs)
