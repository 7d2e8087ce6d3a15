"""`fetal-monai check`: everything that is wrong with a data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fetal_monai.cli.outputs import write_outputs
from fetal_monai.cli.progress import progress_bar

if TYPE_CHECKING:
    from fetal_monai.data.checks import DataReport

PROBLEMS = 3  # the exit status where a training should wait


def check(
    data: Annotated[Path, typer.Argument(help="The folder with the DICOM files.")],
    *,
    annotations: Annotated[
        Path | None, typer.Option(help="The CSV of labels; by default DATA/annotations.csv where there is one.")
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option(help="A configuration with class_names to hold the labels to; the last wins.")
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Decode every image: finds broken, empty and near-duplicate ones.")
    ] = False,
    page: Annotated[Path | None, typer.Option(help="Write a page to look at, .html, with the images, too.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the findings as JSON, too.")] = None,
) -> None:
    """Find all that is wrong with a data set: table, files, leaks, duplicates. Exit status 3: do not train on it."""
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415
    from multiprocessing import get_context  # noqa: PLC0415

    from fetal_monai.cli.check_text import class_names_of, print_report  # noqa: PLC0415
    from fetal_monai.data.checks import check_data  # noqa: PLC0415

    if annotations is None and (data / "annotations.csv").is_file():
        annotations = data / "annotations.csv"
    class_names = class_names_of(config or [])
    # Processes start when the first file is given to them, which is where there are many.
    processes = ProcessPoolExecutor(mp_context=get_context("spawn"))
    with progress_bar("Checking") as tell, processes as pool:
        report = check_data(
            data,
            annotations,
            class_names,
            pixels=pixels,
            pool=pool,
            progress=tell,
        )
    print_report(report, annotations)
    write_outputs(report.to_json, json, page, partial(_write_page, report))
    if not report.fine:
        raise typer.Exit(PROBLEMS)


def _write_page(report: DataReport, path: Path) -> Path:
    from fetal_monai.report.check_page import write_check_page  # noqa: PLC0415  # seconds, for those who want it

    return write_check_page(report, path)
