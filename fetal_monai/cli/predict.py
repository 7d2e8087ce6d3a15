"""`fetal-monai predict`: the planes of studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fetal_monai.cli import dicomweb as remote
from fetal_monai.cli.helpers import helpers_of_predict
from fetal_monai.cli.outputs import say_counts
from fetal_monai.cli.progress import progress_bar
from fetal_monai.cli.released import RELEASED_BY_DEFAULT, model_folder
from fetal_monai.cli.running import Running
from fetal_monai.utils.interrupts import tidy_termination

if TYPE_CHECKING:
    from fetal_monai.results.predict_to_folder import Summary


@tidy_termination()
def predict(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="DICOM files, PNG or JPEG pictures, folders of them.", show_default=False),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The folder to make: tables, study.json, report.html.")],
    model: Annotated[
        Path | None, typer.Option(help=f"A model folder, as training writes it; {RELEASED_BY_DEFAULT}.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="The checklist: isuog_mid_trimester, aium_standard, or a YAML file of your own.")
    ] = "isuog_mid_trimester",
    sr: Annotated[
        bool, typer.Option("--sr", help="Write a DICOM structured report and key objects per study, too.")
    ] = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Classify every frame of clips, not only those that decide.")
    ] = False,
    explain: Annotated[
        bool | None,
        typer.Option(
            "--explain/--no-explain", help="Grad-CAM of the best frames in the pages; by default up to 20 studies."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; by default CUDA if there is one.")] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="auto, torch, openvino, onnxruntime, or less exact: openvino-bf16, *-int8 (docs/engines.md)."
        ),
    ] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per pass of the network.", show_default="4 on a CPU, 16 on a GPU")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Threads of each process that decode.",
            show_default="2; none in one of several processes that has one processor",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Processes that share the studies.", show_default="as many as pay, on a CPU, 4 at most"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier predictions in OUT.")] = False,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="For millions of files: every frame, on all of a Ray cluster, into Parquet in OUT."),
    ] = False,
    dicomweb: remote.Url = None,
    study: remote.Study = None,
    since: remote.Since = None,
    keep: remote.Keep = None,
    auth_file: remote.AuthFile = None,
    ca: remote.Ca = None,
    client_cert: remote.ClientCert = None,
    client_key: remote.ClientKey = None,
) -> None:
    """Find the planes of ultrasound studies, here or in an archive: which are there, where best, what is missing.

    Research software: not for diagnosis, treatment or triage. Each study gets a page to look at and a study.json; every
    image that was classified is in predictions.csv and predictions.json.

    Exit status: 0 all images classified; 1 a mistake, nothing written; 2 wrong usage; 3 some files could not be read,
    or some studies not fetched; the others are in OUT.
    """
    from fetal_monai.results.options import Options  # noqa: PLC0415

    where = remote.Where(dicomweb, study, since, keep, auth_file, ca, client_cert, client_key)
    remote.check_usage(inputs, where)
    if ray and (dicomweb or sr or explain):
        raise typer.BadParameter(
            "--ray writes a table of frames, without studies: leave --dicomweb, --sr, --explain out"
        )
    if processes is not None and (ray or dicomweb):
        raise typer.BadParameter("--processes is for files: Ray has its own, and an archive gives one study at a time")
    folder = model_folder(model)
    running = Running(device=device, batch_size=batch_size, workers=workers, engine=engine)
    if ray:
        from fetal_monai.cli.shards import predict_with_ray  # noqa: PLC0415

        predict_with_ray(inputs or [], folder, out, running, overwrite=overwrite)
        return
    options = Options(protocol, every_frame=every_frame, dicom=sr, explain=explain, overwrite=overwrite)
    if dicomweb is not None:
        remote.predict_dicomweb(where, folder, out, options, running)
        return
    with helpers_of_predict(processes, inputs or [], folder, running) as helpers, progress_bar("Classifying") as tell:
        from fetal_monai.results.predict_to_folder import predict_to_folder  # noqa: PLC0415  # while helpers do so, too

        summary = predict_to_folder(inputs or [], folder, out, options, **running, helpers=helpers, progress=tell)
    _tell(summary, out)


def _tell(summary: Summary, out: Path) -> None:
    from fetal_monai.report.study_index import told_apart  # noqa: PLC0415

    rate = summary.images / max(summary.seconds, 1e-9)
    typer.echo(f"{out}: {summary.images} images in {summary.seconds:.1f} s ({rate:.1f} images/s)")
    names = told_apart([row.name for row in summary.studies])
    for name, row in list(zip(names, summary.studies, strict=True))[:10]:
        what = (
            f"{row.found} found, {row.uncertain} uncertain, {row.missing} missing, {row.not_assessable} not assessable"
            if row.report
            else "nothing could be read"
        )
        typer.echo(f"{name}: {what}" + (f"; {out / row.report}" if row.report else ""))
    if len(summary.studies) > 10:
        typer.echo(f"... and {len(summary.studies) - 10} more studies; {out / 'index.html'} lists all")
    say_counts(
        [
            (summary.abstained, "images left without a label: the model is not sure enough"),
            (summary.passed_over, "files passed over: no ultrasound images, or there twice"),
            (summary.reports, "structured reports"),
            (summary.key_objects, "selections of key objects, the images that the reports speak of"),
            (summary.without_report, "studies without a structured report: pictures, or DICOM that names no study"),
        ]
    )
    if summary.failures:
        typer.echo(f"{len(summary.failures)} inputs could not be read (all are in predictions.json):", err=True)
        for failure in summary.failures[:20]:
            typer.echo(f"  {failure.message}", err=True)
        raise typer.Exit(3)
