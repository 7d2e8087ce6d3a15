"""`fetal-monai predict --ray`: what it says."""

from __future__ import annotations

from pathlib import Path

import typer

from fetal_monai.cli.outputs import say_counts
from fetal_monai.cli.running import Running


def predict_with_ray(inputs: list[Path], model: Path, out: Path, running: Running, *, overwrite: bool) -> None:
    """Classify every frame of every file.

    Args:
        inputs: files and folders.
        model: the model folder.
        out: for the parts of the table.
        running: see `Predictor`; `workers` are the threads of each worker that decode.
        overwrite: begin anew.

    Raises:
        FetalMonaiError: if it cannot be done.
        Exit: with status 3 if some files could not be read.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from fetal_monai.shards.predict import predict_to_shards  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting Ray", total=None)
        summary = predict_to_shards(
            inputs,
            model,
            out,
            overwrite=overwrite,
            **running,
            progress=lambda files, counts: bar.update(task, description=f"{files} files, {counts.images} images"),
        )
    counts = summary.counts
    rate = counts.images / max(summary.seconds, 1e-9)
    typer.echo(
        f"{out}: {counts.images} images of {summary.files} files in {summary.seconds:.1f} s ({rate:.1f} images/s)"
    )
    say_counts(
        [
            (summary.there, "files passed over: they were done before"),
            (counts.abstained, "images left without a label: the model is not sure enough"),
            (counts.passed_over, "files passed over: no ultrasound images"),
        ]
    )
    if counts.failed:
        typer.echo(f"{counts.failed} files or frames could not be read: rows of state 'failed' tell why", err=True)
    if summary.unsettled:
        typer.echo(f"{summary.unsettled} files are not done, the listing was disturbed: run the same again", err=True)
    if counts.failed or summary.unsettled:
        raise typer.Exit(3)
