"""`fetal-monai compare`: two evaluations of the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an evaluation, or its predictions.csv.")],
    b: Annotated[Path, typer.Argument(help="Another evaluation of the same images.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the comparison as JSON, too.")] = None,
    replicates: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same intervals.")] = 0,
) -> None:
    """Compare two evaluations of the same images: paired intervals by patient, McNemar's test."""
    from dataclasses import asdict  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from fetal_monai.report.comparison import compare_evaluations, comparison_table  # noqa: PLC0415
    from fetal_monai.utils.files import write_json  # noqa: PLC0415

    found = compare_evaluations(a, b, replicates=replicates, seed=seed)
    if out is not None:
        write_json(asdict(found), out)
    Console().print(comparison_table(found))
