"""`fetal-monai phantom`: synthetic DICOM to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fetal_monai.cli.progress import progress_bar


def phantom(
    out: Annotated[Path, typer.Argument(help="The folder to make: dicom/, annotations.csv, README.txt.")],
    *,
    patients: Annotated[int, typer.Option(help="Synthetic patients; about 22 % go to test, 15 % to val.")] = 96,
    images: Annotated[int, typer.Option(help="Stills and clips of each patient.")] = 11,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Rows and columns: 240, 320 or more.")] = (480, 640),
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a phantom that is there already.")] = False,
) -> None:
    """Write a synthetic data set: sixteen fetal planes as ultrasound DICOM, with annotations. Not for clinical use."""
    from fetal_monai.data.phantom import PhantomSpec, generate_phantom  # noqa: PLC0415

    spec = PhantomSpec(patients=patients, images_per_patient=images, seed=seed, size=size)
    with progress_bar("Drawing") as tell:
        rows = generate_phantom(
            out,
            spec,
            workers=workers,
            overwrite=overwrite,
            progress=tell,
        )
    clips = sum(row["frame"] != -1 for row in rows)
    typer.echo(f"{out}: {len(rows)} synthetic images of {patients} patients, {clips} of them clips")
