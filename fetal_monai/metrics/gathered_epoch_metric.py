"""A metric of all predictions, also where processes have unequal numbers of them."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import EpochMetric
from monai.utils import convert_to_tensor
from monai.utils.dist import evenly_divisible_all_gather


class GatheredEpochMetric(EpochMetric):
    """ignite's `EpochMetric`, which fails where one process of several has more images than another.

    The first process computes the metric from the predictions of all, and the others get it in double precision.

    Example:
        >>> metric = GatheredEpochMetric(lambda scores, labels: (scores - labels).abs().mean().item())
        >>> metric.update((torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])))
        >>> metric.update((torch.tensor([6.0]), torch.tensor([0.0])))
        >>> metric.compute()
        3.0
    """

    def compute(self) -> float:
        """Return the metric of what all processes have seen.

        Returns:
            What `compute_fn` says, the same in each process.

        Raises:
            NotComputableError: if this process has seen nothing.
        """
        if not self._predictions:
            raise NotComputableError(f"{type(self).__name__} must have at least one example before it can be computed.")
        if self._result is None:
            # As plain tensors: MONAI's metadata cannot be cut where processes meet.
            predictions, targets = (_plain(torch.cat(parts)) for parts in (self._predictions, self._targets))
            if idist.get_world_size() > 1:
                predictions = evenly_divisible_all_gather(predictions, concat=True)
                targets = evenly_divisible_all_gather(targets, concat=True)
            value = self.compute_fn(predictions, targets) if idist.get_rank() == 0 else 0.0
            if idist.get_world_size() > 1:
                shared = idist.broadcast(torch.tensor(value, dtype=torch.float64), src=0)
                value = float(torch.as_tensor(shared))
            self._result = value
        return self._result


def _plain(values: torch.Tensor) -> torch.Tensor:
    return convert_to_tensor(values, track_meta=False)  # type: ignore[no-any-return]
