"""What other libraries tell at every run and nobody here can act on, each by its words. Everything else is shown."""

from __future__ import annotations

import logging
import re
import sys
import warnings

from fetal_monai.errors import find_user_error

_WARNINGS: tuple[tuple[str, type[Warning], str], ...] = (  # how it begins, its kind, the module that gives it
    (
        "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register successfully",
        UserWarning,  # an optional decoder on the GPU; UltrasoundReader has decoders of its own
        "monai.data.image_reader",
    ),
    # TorchScript is on its way out; MONAI's transforms, its export and Deploy still use it.
    ("`torch.jit.", DeprecationWarning, "torch.jit"),
)
_LOGGED: tuple[tuple[str, str], ...] = (  # logger, how the message begins
    ("monai.data.nvimgcodec_pydicom_plugin", "nvImageCodec is not available; skipping pydicom decoder plugin"),
    ("monai.bundle.workflows", "Not all config files are in"),  # overlays lie in folders by their kind: by design
)
_OF_RUNS = (
    "train",
    "validate",
    "evaluate",
    "ignite.engine.engine.SupervisedTrainer",
    "ignite.engine.engine.SupervisedEvaluator",
)
"""Loggers that tell an exception on its way: MONAI's handlers, by their names in the configurations, and ignite's."""


class _UnlessMistake(logging.Filter):
    """Let every record through but of a user's mistake, or Ctrl-C: they are told once, at the end, in few words."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
        if record.levelno < logging.ERROR or error is None:
            return True
        return not isinstance(error, KeyboardInterrupt) and find_user_error(error) is None

    def __eq__(self, other: object) -> bool:  # a logger takes no filter twice
        return isinstance(other, _UnlessMistake)

    def __hash__(self) -> int:
        return hash(_UnlessMistake)


class _Unless(logging.Filter):
    """Let every record through whose message begins otherwise."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.beginning)

    def __eq__(self, other: object) -> bool:  # a logger takes no filter twice
        return isinstance(other, _Unless) and other.beginning == self.beginning

    def __hash__(self) -> int:
        return hash(self.beginning)


def quiet_known_notices() -> None:
    """Leave out the notices of these lists, from now on and in this process.

    Example:
        >>> with warnings.catch_warnings(record=True) as shown:
        ...     warnings.simplefilter("always")
        ...     quiet_known_notices()
        ...     warnings.warn_explicit("`torch.jit.script` is old", DeprecationWarning, "", 1, "torch.jit._script")
        ...     warnings.warn_explicit("`torch.jit.script` is broken", UserWarning, "", 1, "torch.jit._script")
        >>> [str(warning.message) for warning in shown]
        ['`torch.jit.script` is broken']
    """
    import monai.bundle.workflows  # noqa: F401, PLC0415  # MONAI equips a logger only if it is the first to ask for it

    for beginning, category, module in _WARNINGS:
        warnings.filterwarnings("ignore", re.escape(beginning), category, rf"{re.escape(module)}(\.|$)")
    for name, beginning in _LOGGED:
        logging.getLogger(name).addFilter(_Unless(beginning))
    for name in _OF_RUNS:
        logging.getLogger(name).addFilter(_UnlessMistake())


def quiet_trust_notice() -> None:
    """Leave out MONAI's warning that a configuration can run any code, for a run of configurations that are ours."""
    warnings.filterwarnings("ignore", "parsing config_file ", UserWarning, r"monai\.bundle\.scripts$")
