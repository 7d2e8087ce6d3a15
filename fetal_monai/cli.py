"""The command line: `fetal-monai --help`. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import fetal_monai

app = typer.Typer(
    name="fetal-monai",
    help="Classify fetal ultrasound planes from DICOM. Research software: not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
    from fetal_monai.errors import FetalMonaiError  # noqa: PLC0415

    try:
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
    except FetalMonaiError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    clips = sum(row["frame"] != -1 for row in rows)
    typer.echo(f"{out}: {len(rows)} synthetic images of {patients} patients, {clips} of them clips")


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
    from fetal_monai.errors import FetalMonaiError  # noqa: PLC0415
    from fetal_monai.networks.imagenet import fetch, fetch_published  # noqa: PLC0415

    if bool(url) == bool(architectures) or bool(url) != bool(sha256):
        raise typer.BadParameter("give architectures, or --url with --sha256")
    try:
        for path in [fetch(url, sha256, folder)] if url else (fetch_published(a, folder) for a in architectures or ()):
            typer.echo(path)
    except FetalMonaiError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


@app.command("import-weights")
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the reference, such as best_model.pth.")],
    *,
    network: Annotated[str, typer.Option(help="A network of bundle/configs/networks, or an overlay file.")],
    out: Annotated[Path, typer.Option(help="The file to write; model.json, the facts, lands beside it.")],
    config: Annotated[list[Path] | None, typer.Option(help="More overlays, such as other classes.")] = None,
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Turn a checkpoint of the reference implementation into a model of ours. Only tensors are read from it."""
    from fetal_monai.errors import FetalMonaiError  # noqa: PLC0415
    from fetal_monai.networks.importing import import_checkpoint  # noqa: PLC0415

    try:
        names = import_checkpoint(checkpoint, network, out, bundle=bundle, overlays=config or (), overwrite=overwrite)
    except FetalMonaiError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{out}: {network} with {len(names)} classes: {', '.join(names)}")
