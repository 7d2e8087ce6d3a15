"""What a function of the network says of a batch: features, the opinion of one branch, and the like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.inference.float32 import full_float32
from fetal_monai.inference.views import Views, stack_views

Look: TypeAlias = Callable[[Any, list[torch.Tensor]], torch.Tensor]


@torch.inference_mode()
def look_inside(
    network: torch.nn.Module, device: torch.device, views: Sequence[Views], function: Look
) -> NDArray[np.float64]:
    """Call a function of the network on some images.

    Args:
        network: in evaluation mode on `device`.
        device: where it is.
        views: of B images, as `prepare` makes them.
        function: called with the network and its arguments, each float32 (B, 3, h, w) on `device`; it returns (B, ...).

    Returns:
        (B, ...) float64. Floats are 32 bits inside, and no gradients are kept.

    Example:
        >>> views = [{"image": torch.ones(3, 2, 2)}, {"image": torch.zeros(3, 2, 2)}]
        >>> said = look_inside(torch.nn.Flatten(), torch.device("cpu"), views, lambda network, given: network(*given))
        >>> said.shape, said.mean(axis=1).tolist()
        ((2, 12), [1.0, 0.0])
    """
    with full_float32():
        return np.asarray(function(network, stack_views(views, device)).double().cpu().numpy())
