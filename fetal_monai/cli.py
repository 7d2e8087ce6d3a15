"""The command line: `fetal-monai --help`. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import fetal_monai
from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.released_model import released_model, released_notice

_RELEASED = "by default the one that comes with fetal_monai"


class _Commands(TyperGroup):
    """All commands: a user's mistake is one message and exit status 1, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FetalMonaiError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="fetal-monai",
    cls=_Commands,
    help="Classify fetal ultrasound planes from DICOM. Research software: not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _model_folder(named: Path | None) -> Path:
    """The model folder that is meant; the released one is announced beside what goes to stdout."""
    if named is not None:
        return named
    folder = released_model()
    typer.echo(released_notice(), err=True)
    return folder


@app.callback(invoke_without_command=True)
def main(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Classify fetal ultrasound planes from DICOM. Research software: not a medical device."""
    if version:
        typer.echo(fetal_monai.__version__)
        raise typer.Exit


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="The folder to make: dicom/, annotations.csv, README.txt.")],
    *,
    patients: Annotated[int, typer.Option(help="Synthetic patients; about 22 % go to test, 15 % to val.")] = 96,
    images: Annotated[int, typer.Option(help="Stills and clips of each patient.")] = 11,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Rows and columns of a frame.")] = (480, 640),
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a phantom that is there already.")] = False,
) -> None:
    """Write a synthetic data set: sixteen fetal planes as ultrasound DICOM, with annotations. Not for clinical use."""
    from rich.progress import Progress  # noqa: PLC0415

    from fetal_monai.data.phantom import PhantomSpec, generate_phantom  # noqa: PLC0415

    spec = PhantomSpec(patients=patients, images_per_patient=images, seed=seed, size=size)
    with Progress() as bar:
        task = bar.add_task("Phantom", total=patients)
        rows = generate_phantom(
            out,
            spec,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, _total: bar.update(task, completed=done),
        )
    clips = sum(row["frame"] != -1 for row in rows)
    typer.echo(f"{out}: {len(rows)} synthetic images of {patients} patients, {clips} of them clips")


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(help="DICOM files, PNG or JPEG pictures, folders of them.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder to make: tables, study.json, report.html.")],
    model: Annotated[Path | None, typer.Option(help=f"A model folder, as training writes it; {_RELEASED}.")] = None,
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
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass of the network.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode and prepare images.")] = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier predictions in OUT.")] = False,
) -> None:
    """Find the planes of ultrasound studies: which are there, where best, what is missing.

    Research software: not for diagnosis, treatment or triage. Each study gets a page to look at and a study.json; every
    image that was classified is in predictions.csv and predictions.json.

    Exit status: 0 all images classified; 1 a mistake, nothing written; 2 wrong usage; 3 some files could not be read,
    the others are in OUT.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from fetal_monai.results.predict_to_folder import Options, predict_to_folder  # noqa: PLC0415

    folder = _model_folder(model)
    columns = (TextColumn("Classifying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        summary = predict_to_folder(
            inputs,
            folder,
            out,
            Options(protocol, every_frame=every_frame, dicom=sr, explain=explain, overwrite=overwrite),
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    rate = summary.images / max(summary.seconds, 1e-9)
    typer.echo(f"{out}: {summary.images} images in {summary.seconds:.1f} s ({rate:.1f} images/s)")
    for row in summary.studies[:10]:
        what = (
            f"{row.found} found, {row.uncertain} uncertain, {row.missing} missing, {row.not_assessable} not assessable"
        )
        typer.echo(f"{row.name}: {what}" + (f"; {out / row.report}" if row.report else ""))
    if len(summary.studies) > 10:
        typer.echo(f"... and {len(summary.studies) - 10} more studies; {out / 'index.html'} lists all")
    for count, what in (
        (summary.abstained, "images left without a label: the model is not sure enough"),
        (summary.passed_over, "files passed over: no ultrasound images, or there twice"),
        (summary.reports, "structured reports, each with its key objects"),
        (summary.without_report, "studies without a structured report: pictures, or DICOM that names no study"),
    ):
        if count:
            typer.echo(f"{count} {what}")
    if summary.failures:
        typer.echo(f"{len(summary.failures)} inputs could not be read (all are in predictions.json):", err=True)
        for failure in summary.failures[:20]:
            typer.echo(f"  {failure.message}", err=True)
        raise typer.Exit(3)


@app.command()
def bundle(out: Annotated[Path, typer.Argument(help="The folder to make: configs/, docs/.")]) -> None:
    """Write a copy of the MONAI Bundle to edit: the configurations of training, evaluation and inference."""
    from fetal_monai.utils.bundle import copy_bundle  # noqa: PLC0415

    configs = copy_bundle(out) / "configs"
    typer.echo(f"python -m monai.bundle run training --config_file {configs / 'train.yaml'} --dataset_dir DATA")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="",
    epilog="fetal-monai run training --config_file bundle/configs/train.yaml --dataset_dir DATA",
)
def run(context: typer.Context) -> None:
    """Train, evaluate or classify by the bundle: `python -m monai.bundle run`, without what it says each time."""
    from fetal_monai.run import run_bundle  # noqa: PLC0415

    run_bundle(context.args)


@app.command("fetch-weights")
def fetch_weights(
    architectures: Annotated[
        list[str] | None, typer.Argument(help="Such as efficientnet-b0 efficientnet-b6 resnet18 densenet201.")
    ] = None,
    *,
    url: Annotated[str | None, typer.Option(help="Fetch this file instead; needs --sha256.")] = None,
    sha256: Annotated[str, typer.Option(help="Its SHA-256, or the first digits of it.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Where to put the files; by default torch.hub's.")] = None,
) -> None:
    """Fetch published ImageNet weights and check them: the only command that downloads."""
    from fetal_monai.networks.imagenet import fetch, fetch_published  # noqa: PLC0415

    if bool(url) == bool(architectures) or bool(url) != bool(sha256):
        raise typer.BadParameter("give architectures, or --url with --sha256")
    for path in [fetch(url, sha256, folder)] if url else (fetch_published(a, folder) for a in architectures or ()):
        typer.echo(path)


@app.command("import-weights")
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the reference, such as best_model.pth.")],
    *,
    network: Annotated[str, typer.Option(help="A network of bundle/configs/networks, or an overlay file.")],
    out: Annotated[Path, typer.Option(help="The file to write; model.json, the facts, lands beside it.")],
    config: Annotated[list[Path] | None, typer.Option(help="More overlays, such as other classes.")] = None,
    bundle: Annotated[Path | None, typer.Option(help=f"A bundle of your own; {_RELEASED}.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Turn a checkpoint of the reference implementation into a model of ours. Only tensors are read from it."""
    from fetal_monai.console import prepare_console  # noqa: PLC0415
    from fetal_monai.model.checkpoint_import import import_checkpoint  # noqa: PLC0415

    prepare_console()
    names = import_checkpoint(checkpoint, network, out, bundle=bundle, overlays=config or (), overwrite=overwrite)
    typer.echo(f"{out}: {network} with {len(names)} classes: {', '.join(names)}")


@app.command()
def label(
    *,
    studies: Annotated[str, typer.Option(help="A folder of DICOM and PNG files, or the URL of a DICOMweb service.")],
    model: Annotated[
        Path | None, typer.Option(help=f"The model folder to begin with, which is only read; {_RELEASED}.")
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="For trained versions, logs, downloads; by default beside the model folder, or for the model that "
            "comes with fetal_monai ./fetal_planes-label."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine only; 0 takes a free one.")] = 8000,
    config: Annotated[list[Path] | None, typer.Option(help="Overlays for training, such as recipes.")] = None,
    bundle: Annotated[Path | None, typer.Option(help=f"A bundle of your own; {_RELEASED}.")] = None,
) -> None:
    """Label images in the browser, helped by a model that learns from the labels: a MONAI Label server."""
    from fetal_monai.apps.label.server import serve  # noqa: PLC0415

    serve(studies, _model_folder(model), workspace=workspace, port=port, bundle=bundle, overlays=config)


@app.command()
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

    from fetal_monai.errors import FetalMonaiError  # noqa: PLC0415
    from fetal_monai.report.comparison import compare_evaluations, comparison_table  # noqa: PLC0415
    from fetal_monai.utils.files import write_json  # noqa: PLC0415

    try:
        found = compare_evaluations(a, b, replicates=replicates, seed=seed)
        if out is not None:
            write_json(asdict(found), out)
    except FetalMonaiError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    Console().print(comparison_table(found))
