"""Ray and pyarrow, which only large folders need."""

from __future__ import annotations

import importlib
from typing import Any

from fetal_monai.utils.extras import needing


def package(name: str) -> Any:
    """Import a module of Ray or pyarrow.

    Args:
        name: such as `pyarrow.parquet`.

    Returns:
        The module.

    Raises:
        FetalMonaiError: if it is not installed.
    """
    with needing("ray", "--ray needs Ray Data"):
        return importlib.import_module(name)
