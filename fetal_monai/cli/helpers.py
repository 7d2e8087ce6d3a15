"""How many processes `fetal-monai predict` works in."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fetal_monai.cli.running import Running
from fetal_monai.errors import FetalMonaiError

if TYPE_CHECKING:
    from fetal_monai.utils.helper_processes import HelperProcesses

logger = logging.getLogger(__name__)

FILES = 500
"""So many files pay for the start of one more process."""
MOST = 4
"""Processes that are taken without being asked for: each needs the memory of a model, and half a gigabyte besides."""


@contextmanager
def helpers_of_predict(
    processes: int | None, inputs: Sequence[Path], model: Path, running: Running
) -> Iterator[HelperProcesses | None]:
    """Begin the processes that help this one, before it imports what they must import, too.

    Args:
        processes: how many in all; None takes as many as pay: one for each `FILES` files begun, but no more than
            PyTorch has threads, or `MOST`; on a GPU one.
        inputs: files and folders.
        model: the model folder.
        running: see `Predictor`.

    Yields:
        The helpers, which end with the block; None where this process works alone.

    Raises:
        FetalMonaiError: if processes were asked for and cannot be begun.
    """
    count = paying(inputs, running["device"]) if processes is None else processes
    if count == 1:
        yield None
        return
    from fetal_monai.results.helpers import start_helpers  # noqa: PLC0415

    try:
        helpers = start_helpers(count - 1, model, **running)
    except OSError as error:
        cause = f"no more processes can be begun ({error.strerror or error})"
        if processes is not None:
            raise FetalMonaiError(f"{cause}; try --processes 1") from error
        logger.warning("%s; one does all the work", cause)
        yield None
        return
    with helpers:
        yield helpers


def paying(inputs: Sequence[Path], device: str | None) -> int:
    """Say how many processes pay.

    Args:
        inputs: files and folders.
        device: that was asked for.

    Returns:
        1 where there are few files, on a GPU, and where PyTorch has one thread.
    """
    files = sum(1 for _ in islice(_names(inputs), FILES * MOST))
    if files <= FILES:
        return 1
    import torch  # noqa: PLC0415  # a second, which small calls need not wait for here

    if not (device or "cpu").startswith("cpu") or (device is None and torch.cuda.is_available()):
        return 1
    return min(torch.get_num_threads(), MOST, -(-files // FILES))


def _names(inputs: Sequence[Path]) -> Iterator[str]:
    for path in inputs:
        if path.is_dir():
            for _, _, names in os.walk(path):
                yield from names
        else:
            yield path.name
