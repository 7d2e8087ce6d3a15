"""Whether a run is tracked by MLflow, and that it can be: what is missing is named before anything starts."""

from __future__ import annotations

import importlib.util
import os

from fetal_monai.errors import FetalMonaiError

_NEEDED = ("mlflow", "sqlalchemy", "alembic")  # the last two are MLflow's own way to a local store


def prepare_tracking(save_execute_config: object) -> bool:
    """Tell whether this process records the run, and keep MLflow from reporting its use to its makers.

    Args:
        save_execute_config: the configuration's value: a bool, which MONAI's `--tracking` replaces by the path of the
            file that it writes, or by None.

    Returns:
        True for a tracked run, in its first process.

    Raises:
        FetalMonaiError: if a tracked run lacks a package.

    Example:
        >>> prepare_tracking(True)
        False
    """
    if isinstance(save_execute_config, bool):
        return False
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "install them: pip install 'fetal_monai[mlflow]'"
        raise FetalMonaiError(f"--tracking needs the packages {', '.join(missing)}, which are not there; {remedy}")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.telemetry import set_telemetry_client  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415

    set_telemetry_client()  # MONAI imports MLflow, and with it a client for telemetry, before any configuration is read
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0)
