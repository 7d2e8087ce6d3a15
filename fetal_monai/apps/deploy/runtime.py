"""What must happen before MONAI is imported where MONAI Deploy is installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings

from fetal_monai.errors import FetalMonaiError, first_line

REMEDY = 'in an environment of its own, run: pip install "fetal_monai[deploy]" (Linux, Python 3.10 to 3.13)'


def prepare_runtime(log_level: str = "OFF") -> None:
    """Make MONAI Deploy importable, also on a machine without CUDA. Call it before `monai` is imported.

    Holoscan, below MONAI Deploy, links to libcudart 13 even where there is no GPU, and `import monai` imports both if
    they are installed. The package nvidia-cuda-runtime holds the library outside of the loader's path; once NVIDIA's
    own finder has loaded it, Holoscan finds it without LD_LIBRARY_PATH.

    Args:
        log_level: of Holoscan's own messages: OFF, ERROR, WARN, INFO or DEBUG; HOLOSCAN_LOG_LEVEL goes before it.
            What goes wrong in an operator reaches the caller as that operator's exception at every level.

    Raises:
        FetalMonaiError: if MONAI Deploy or libcudart 13 is missing, or does not load.
    """
    if importlib.util.find_spec("holoscan") is None or importlib.util.find_spec("cuda") is None:
        raise FetalMonaiError(f"the MONAI Deploy App SDK is not installed; {REMEDY}")
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", log_level)
    # Holoscan wants 32 MB for operators of its own; ours need no more stack than any Python thread has.
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
    try:
        importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cudart")
        importlib.import_module("holoscan.core")
        importlib.import_module("monai.deploy")
    except (ImportError, OSError, RuntimeError) as error:  # pathfinder's own error is a RuntimeError
        raise FetalMonaiError(f"MONAI Deploy does not load ({first_line(error)}); {REMEDY}") from error
