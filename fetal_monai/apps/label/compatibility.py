"""What must be in place before MONAI Label 0.8.5 can be imported beside pydicom 3."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pydicom.uid

from fetal_monai.errors import FetalMonaiError

_GONE = "pydicom._storage_sopclass_uids"


def prepare_monailabel() -> None:
    """Make `import monailabel` possible. Call it before the first such import.

    pydicom-seg, which MONAI Label imports for segmentations, reads one UID from a module that pydicom 3 no longer has.

    Raises:
        FetalMonaiError: if MONAI Label is not installed.
    """
    if importlib.util.find_spec("monailabel") is None:
        raise FetalMonaiError(
            "MONAI Label is not installed; run `make label`, or "
            "`python -m pip install --no-deps -r fetal_monai/apps/label/requirements.txt`"
        )
    if _GONE not in sys.modules and importlib.util.find_spec(_GONE) is None:
        module = ModuleType(_GONE)
        module.SegmentationStorage = pydicom.uid.SegmentationStorage  # type: ignore[attr-defined]
        sys.modules[_GONE] = module
