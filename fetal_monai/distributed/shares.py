"""What each process gets of a batch and of a data set."""

from __future__ import annotations

from monai.data import Dataset, DistributedSampler

from fetal_monai.distributed.launch import rank, world_size
from fetal_monai.errors import FetalMonaiError


def batch_share(batch_size: int) -> int:
    """Share a batch among the processes.

    Args:
        batch_size: of all processes together.

    Returns:
        How many images of it each process gets.

    Raises:
        FetalMonaiError: if they cannot all get the same number.

    Example:
        >>> batch_share(8)  # one process
        8
    """
    if batch_size % world_size():
        higher = (batch_size // world_size() + 1) * world_size()
        raise FetalMonaiError(
            f"{world_size()} processes cannot share a batch of {batch_size} images alike, and batch_size is that of "
            f"all together; give --batch_size {higher}, or another multiple of {world_size()}"
        )
    return batch_size // world_size()


def each_once(dataset: Dataset) -> DistributedSampler:
    """Share a data set among the processes, each image once, in its order.

    torch's `DistributedSampler` repeats images until all processes have as many, which would count them twice in a
    metric. A network wrapped in `DistributedDataParallel` would wait for the process with fewer: use the bare one.

    Args:
        dataset: what is shared.

    Returns:
        The sampler of this process: every n-th image, beginning at its rank.

    Raises:
        FetalMonaiError: if there are more processes than images.

    Example:
        >>> list(each_once(Dataset(["a", "b", "c"])))  # one process
        [0, 1, 2]
    """
    if len(dataset) < world_size():
        raise FetalMonaiError(
            f"a split has {len(dataset)} images for {world_size()} processes, and none may be without; "
            "use fewer processes"
        )
    return DistributedSampler(dataset, even_divisible=False, shuffle=False, num_replicas=world_size(), rank=rank())
