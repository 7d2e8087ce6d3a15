"""`fetal-monai import`: data sets of pictures as DICOM with labels."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fetal_monai.cli.progress import progress_bar

if TYPE_CHECKING:
    from fetal_monai.data.importers import ImportSummary

SHOWN = 20


class Kind(str, Enum):
    """What `fetal_monai.data.importers` knows, here again so that help need not import it."""

    FETAL_PLANES_DB = "fetal-planes-db"
    AFRICAN_PLANES = "african-planes"
    HC18 = "hc18"
    FOLDERS = "folders"
    COCO = "coco"
    CVAT = "cvat"


def import_data(
    kind: Annotated[Kind, typer.Argument(help="What the source is; folders: one folder for each class.")],
    source: Annotated[Path, typer.Argument(help="The archive as it was downloaded (zip), or its folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to make: dicom/, annotations.csv, classes.yaml.")],
    *,
    patient_pattern: Annotated[
        str | None,
        typer.Option(help="A regular expression that finds the patient in a picture's name: its first group."),
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(min=0, max=0.5, help="For val, where the source does not say; whole patients.")
    ] = 0.15,
    test_fraction: Annotated[
        float, typer.Option(min=0, max=0.5, help="For test, where the source has no splits; whole patients.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same splits.")] = 0,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write no DICOM: annotations.csv names the pictures where they are.")
    ] = False,
) -> None:
    """Turn a data set of PNG or JPEG pictures into DICOM with labels; every pixel stays as it is.

    After an interruption the same command goes on. Nothing is downloaded, and a zip is not unpacked.

    Exit status: 0 all images imported; 1 a mistake, nothing written; 2 wrong usage; 3 some images are missing or
    damaged, the others are in OUT.
    """
    from fetal_monai.data.importers import import_dataset  # noqa: PLC0415

    with progress_bar("Importing") as tell:
        summary = import_dataset(
            kind.value,
            source,
            out,
            patient_pattern=patient_pattern,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            in_place=in_place,
            progress=tell,
        )
    _show(summary, out)
    if in_place:
        typer.echo(f"Train with --dataset_dir {source} --annotations {out / 'annotations.csv'}")
    if summary.failures:
        raise typer.Exit(3)


def _show(summary: ImportSummary, out: Path) -> None:
    patients = len({row["patient_id"] for row in summary.rows})
    before = len(summary.rows) - summary.written
    typer.echo(
        f"{out}: {len(summary.rows)} images of {patients} patients" + (f", {before} from before" if before else "")
    )
    splits = ("train", "val", "test")
    width = max(len("class"), *(len(name) for name in summary.class_names))
    typer.echo(f"  {'class':{width}}" + "".join(f"{split:>8}" for split in splits))
    for name in summary.class_names:
        typer.echo(f"  {name:{width}}" + "".join(f"{summary.count(name, split):>8}" for split in splits))
    if summary.licence:
        typer.echo(f"Source and licence: {summary.licence}")
    for reason, count in Counter(reason for _, reason in summary.left_out).items():
        names = [name for name, why in summary.left_out if why == reason]
        more = ", ..." if count > 3 else ""
        typer.echo(f"{count} left out ({reason}): {', '.join(names[:3])}{more}")
    for note in summary.notes:
        typer.echo(f"Note: {note}", err=True)
    if summary.failures:
        typer.echo(f"{len(summary.failures)} images were not imported (all are in not_imported.csv):", err=True)
        for name, reason in summary.failures[:SHOWN]:
            typer.echo(f"  {name}: {reason}", err=True)
        if len(summary.failures) > SHOWN:
            typer.echo(f"  ... and {len(summary.failures) - SHOWN} more", err=True)
