"""`fetal-monai split`: patients into train, val and test, or into folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def split(
    annotations: Annotated[Path, typer.Argument(help="A CSV with class and patient_id.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="The CSV to write, NAME_split.csv by default; folds go beside it as NAME_fold0of5.csv ..."),
    ] = None,
    shares: Annotated[tuple[float, float, float], typer.Option(help="Of train, val and test.")] = (70, 15, 15),
    folds: Annotated[
        int | None, typer.Option(min=2, help="Cross-validate instead: a CSV per fold. Patients in test are left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same splits.")] = 0,
    keep: Annotated[
        bool, typer.Option("--keep/--redraw", help="Whether patients who have a split keep it, or all are drawn anew.")
    ] = True,
    dicom: Annotated[
        Path | None, typer.Option(help="Where patient_id is missing, take it from these files: a digest of PatientID.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there, even ANNOTATIONS.")] = False,
) -> None:
    """Split a table of labels by patient, each class in the same shares; what has a split keeps it."""
    from fetal_monai.cli.split_table import print_split  # noqa: PLC0415
    from fetal_monai.data.annotations import COLUMNS, require_columns, with_image_names  # noqa: PLC0415
    from fetal_monai.data.dicom_patients import fill_patients  # noqa: PLC0415
    from fetal_monai.data.splits import assign_splits, fold_tables, require_patients  # noqa: PLC0415
    from fetal_monai.data.text_table import read_text_table  # noqa: PLC0415
    from fetal_monai.errors import InputError  # noqa: PLC0415
    from fetal_monai.utils.files import atomic_path  # noqa: PLC0415

    table = with_image_names(read_text_table(annotations, COLUMNS))
    require_columns(annotations, table, ["SOPInstanceUID", "class"])
    if dicom is not None:
        table = fill_patients(table, dicom)
    require_patients(annotations, table, "name the patient, or give --dicom FOLDER to take PatientID from the files")
    if not keep and "split" in table:
        table = table.assign(split="")
    target = out or annotations.with_name(f"{annotations.stem}_split.csv")
    if folds is None:
        made = {target: assign_splits(table, shares, seed=seed)}
    else:
        stem = (out or annotations).stem
        names = [target.with_name(f"{stem}_fold{number}of{folds}.csv") for number in range(folds)]
        made = dict(zip(names, fold_tables(table, folds, seed=seed), strict=True))
    standing = [f"{path} is there already; give --overwrite or another --out" for path in made if path.exists()]
    if standing and not overwrite:
        raise InputError("out", standing)
    for path, content in made.items():
        try:
            with atomic_path(path) as temporary:
                content.to_csv(temporary, index=False, encoding="utf-8")
        except OSError as error:
            problem = f"cannot be written ({error.strerror}); give another --out"
            raise InputError(path, [problem]) from None
        print_split(path, content)
