"""How torchrun has started this process: it says so in the environment."""

from __future__ import annotations

import os

import torch

from fetal_monai.errors import FetalMonaiError


def rank() -> int:
    """Return the number of this process among all, 0 where there is one."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes on all machines together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def require_single_process(overlay: str | None = None) -> None:
    """Refuse a configuration for one process where torchrun has started several.

    Each of them would do the whole work, and overwrite the files of the others.

    Args:
        overlay: the configuration that shares the work; None where there is none, and `fetal-monai predict --ray` does.

    Raises:
        FetalMonaiError: if there are several processes.
    """
    if world_size() > 1:
        remedy = "share the work by fetal-monai predict --ray"
        if overlay is not None:
            remedy = f"add 'bundle/configs/{overlay}' as the last of --config_file"
        raise FetalMonaiError(
            f"torchrun started {world_size()} processes, and this configuration is for one: each would do the whole "
            f"work and overwrite the others' files; {remedy}, or start it without torchrun"
        )


def local_device() -> torch.device:
    """Return the GPU of this process, one for each on its machine, or the CPU where there is no GPU.

    Raises:
        FetalMonaiError: if the machine has fewer GPUs than processes.

    Example:
        >>> local_device().type in {"cpu", "cuda"}
        True
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= gpus:
        processes = os.environ.get("LOCAL_WORLD_SIZE", index + 1)
        raise FetalMonaiError(
            f"{processes} processes on a machine with {gpus} GPUs; give torchrun --nproc_per_node {gpus}"
        )
    return torch.device("cuda", index)
