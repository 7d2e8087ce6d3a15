"""What a person sees when a bundle runs: no false alarms, and the user's mistake instead of a traceback."""

from __future__ import annotations

import importlib
import logging
import re
import sys
import warnings
from types import TracebackType

from fetal_monai.errors import FetalMonaiError

_HARMLESS = (
    "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register",  # an optional decoder; we have our own
    "`torch.jit",  # TorchScript's deprecation: MONAI's export and Deploy still use it
)
_NAMED_BY_CONFIGS = ("data", "dicom", "handlers", "losses", "metrics", "model.folder", "networks", "transforms")
_IN_TEXT = re.compile(r"^fetal_monai\.errors\.\w+: (.+(?:\n  .+)*)", re.MULTILINE)


def prepare_console() -> None:
    """Silence harmless notices, end a run that fails by a user's mistake with that mistake alone, and import early."""
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    for notice in _HARMLESS:
        warnings.filterwarnings("ignore", message=notice)
    sys.excepthook = _explain
    for name in _NAMED_BY_CONFIGS:  # MONAI would turn an import error in one of them into "cannot locate"
        importlib.import_module(f"fetal_monai.{name}")


def find_user_error(error: BaseException) -> FetalMonaiError | None:
    r"""Find our error inside whatever wraps it.

    MONAI wraps what a transform or a config component raises, and a DataLoader turns an error of its worker process
    into text.

    Args:
        error: what was raised; its causes are followed, and tracebacks inside messages are searched.

    Returns:
        The error whose message is written for users, or None if there is none.

    Example:
        >>> print(find_user_error(RuntimeError("... \nfetal_monai.errors.DicomReadError: a.dcm: empty; copy again")))
        a.dcm: empty; copy again
    """
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, FetalMonaiError):
            return current
        match = _IN_TEXT.search(str(current))
        if match:
            return FetalMonaiError(match.group(1))
        current = current.__cause__ or current.__context__
    return None


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    found = find_user_error(error)
    if found is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        sys.stderr.write(f"\nError: {found}\n")
