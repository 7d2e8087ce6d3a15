"""Processes that take studies off `predict_to_folder`; importing this needs no MONAI, which they import meanwhile."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from fetal_monai.utils.helper_processes import HelperProcesses


def start_helpers(
    count: int,
    model_dir: str | PathLike[str],
    *,
    device: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "auto",
) -> HelperProcesses:
    """Begin processes that load a model, to help `predict_to_folder` with it.

    Args:
        count: how many beside this process; each gets as many of PyTorch's threads as this one.
        model_dir: the model folder.
        device: see `Predictor`; give `predict_to_folder` the same.
        batch_size: likewise.
        workers: likewise.
        engine: likewise.

    Returns:
        The helpers; a context manager that ends them.

    Raises:
        OSError: if a process cannot be begun.

    Example:
        >>> from fetal_monai.model.released_model import released_model
        >>> if __name__ == "__main__":  # doctest: +SKIP
        ...     with start_helpers(3, released_model()) as helpers:
        ...         predict_to_folder(["archive"], None, "results", helpers=helpers)
    """
    threads = max(1, torch.get_num_threads() // (count + 1))
    running = (Path(model_dir).absolute(), device, batch_size, workers, engine, threads)
    return HelperProcesses(count, "fetal_monai.results.in_helper:predictor_of_helper", *running)
