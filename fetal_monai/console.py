"""What a person sees when a bundle runs: no false alarms, and the user's mistake instead of a traceback."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from types import TracebackType

from fetal_monai.errors import find_user_error

_HARMLESS = (
    "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register",  # an optional decoder; we have our own
    "`torch.jit",  # TorchScript's deprecation: MONAI's export and Deploy still use it
)
_NAMED_BY_CONFIGS = ("data", "dicom", "handlers", "losses", "metrics", "model", "networks", "transforms")


def prepare_console() -> None:
    """Silence harmless notices, end a run that fails by a user's mistake with that mistake alone, and import early."""
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    for notice in _HARMLESS:
        warnings.filterwarnings("ignore", message=notice)
    sys.excepthook = _explain
    for name in _NAMED_BY_CONFIGS:  # MONAI would turn an import error in one of them into "cannot locate"
        importlib.import_module(f"fetal_monai.{name}")


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    found = find_user_error(error)
    if found is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        sys.stderr.write(f"\nError: {found}\n")
