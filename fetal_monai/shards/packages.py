"""Ray and pyarrow, which only large folders need."""

from __future__ import annotations

import importlib
from typing import Any

from fetal_monai.errors import FetalMonaiError


def package(name: str) -> Any:
    """Import a module of Ray or pyarrow.

    Args:
        name: such as `pyarrow.parquet`.

    Returns:
        The module.

    Raises:
        FetalMonaiError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        problem = f"--ray needs Ray Data ({error}); install it: pip install 'fetal_monai[ray]'"
        raise FetalMonaiError(problem) from None
