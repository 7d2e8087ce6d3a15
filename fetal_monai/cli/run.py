"""`fetal-monai run`: a run id of the bundle, with a quiet console."""

from __future__ import annotations

import typer


def run(context: typer.Context) -> None:
    """Train, evaluate or classify by the bundle: `python -m monai.bundle run`, without what it says each time.

    Add --tracking mlflow to record a training or an evaluation with its parameters, metrics and files.
    """
    from fetal_monai.run import run_bundle  # noqa: PLC0415

    run_bundle(context.args)
