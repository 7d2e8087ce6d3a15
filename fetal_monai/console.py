"""What a person sees when a bundle runs: no false alarms, and the user's mistake instead of a traceback."""

from __future__ import annotations

import importlib
import sys
from types import TracebackType

from fetal_monai.errors import find_user_error
from fetal_monai.utils.interrupts import heed_lost_interrupts
from fetal_monai.utils.notices import quiet_known_notices

INTERRUPTED = "\nInterrupted. A training goes on from its last whole epoch with --resume True.\n"
_NAMED_BY_CONFIGS = ("data", "dicom", "distributed", "handlers", "losses", "metrics", "model", "networks", "transforms")


def prepare_console() -> None:
    """Silence harmless notices, end a run that fails by a user's mistake with that mistake alone, and import early."""
    quiet_known_notices()
    sys.excepthook = _explain
    heed_lost_interrupts()
    for name in _NAMED_BY_CONFIGS:  # MONAI would turn an import error in one of them into "cannot locate"
        importlib.import_module(f"fetal_monai.{name}")


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write(INTERRUPTED)
        return
    from fetal_monai.distributed.launch import rank, world_size  # noqa: PLC0415  # after torch, which takes seconds
    from fetal_monai.distributed.lost_process import lost_process  # noqa: PLC0415

    found = find_user_error(error) or lost_process(error)
    if found is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        where = f" in process {rank()} of {world_size()}" if world_size() > 1 else ""
        sys.stderr.write(f"\nError{where}: {found}\n")
