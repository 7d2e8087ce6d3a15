"""`fetal-monai predict --dicomweb`: its options, and what it says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

from fetal_monai.cli.outputs import say_counts
from fetal_monai.cli.running import Running
from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.extras import needing

if TYPE_CHECKING:
    from fetal_monai.results.options import Options
    from fetal_monai.results.predict_from_archive import ArchiveSummary

PANEL = "From an archive that speaks DICOMweb"
Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The service, such as https://pacs:8443/dicom-web. User and password, or token: in the environment, "
        "FETAL_MONAI_DICOMWEB_USER and ..._PASSWORD, or ..._TOKEN; in --auth-file; or in ~/.netrc.",
        rich_help_panel=PANEL,
    ),
]
Study: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="UID", help="A StudyInstanceUID; may be repeated.", rich_help_panel=PANEL)
]
Since: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y%m%d"],
        help="Instead: every study with ultrasound from this StudyDate on.",
        rich_help_panel=PANEL,
    ),
]
Keep: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Keep the files here; by default they go when a study is done.", rich_help_panel=PANEL),
]
AuthFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Lines `user: ...` and `password: ...`, or `token: ...`.", rich_help_panel=PANEL),
]
Ca: TypeAlias = Annotated[
    Path | None, typer.Option(help="PEM file of the authorities whose certificates to trust.", rich_help_panel=PANEL)
]
ClientCert: TypeAlias = Annotated[
    Path | None, typer.Option(help="PEM file of a client certificate, and of its key.", rich_help_panel=PANEL)
]
ClientKey: TypeAlias = Annotated[
    Path | None, typer.Option(help="PEM file of that key, if it is apart.", rich_help_panel=PANEL)
]


class Where(NamedTuple):
    """What was given of these options."""

    url: str | None
    studies: list[str] | None
    since: datetime | None
    keep: Path | None
    auth_file: Path | None
    ca: Path | None
    client_cert: Path | None
    client_key: Path | None


def check_usage(inputs: list[Path] | None, where: Where) -> None:
    """Raise if it is not clear what to classify.

    Args:
        inputs: files and folders.
        where: the options about an archive.

    Raises:
        BadParameter: if neither or both are named, or a part of either is missing.
    """
    if where.url is None:
        if any(where):
            raise typer.BadParameter("--study, --since, --keep and what is about an archive need --dicomweb URL")
        if not inputs:
            raise typer.BadParameter("give files or folders, or --dicomweb URL with --study or --since")
    elif inputs:
        raise typer.BadParameter("give files and folders, or --dicomweb URL, not both")
    elif bool(where.studies) == bool(where.since):
        raise typer.BadParameter("--dicomweb URL needs either --study UID or --since DATE")


def predict_dicomweb(where: Where, model: Path, out: Path, options: Options, running: Running) -> None:
    """Fetch studies one after another, and find their planes.

    Args:
        where: to fetch them.
        model: the model folder.
        out: for a folder of each study.
        options: see `predict_to_folder`.
        running: see `Predictor`.

    Raises:
        FetalMonaiError: if nothing can be had.
        Exit: with status 3 if some studies could not be had, or not wholly.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

    with needing("dicomweb", "--dicomweb needs dicomweb-client"):
        from fetal_monai.dicomweb.archive import Archive, check_uid  # noqa: PLC0415
    from fetal_monai.dicomweb.connection import Connection  # noqa: PLC0415
    from fetal_monai.dicomweb.credentials import read_credentials  # noqa: PLC0415
    from fetal_monai.inference.predictor import Predictor  # noqa: PLC0415
    from fetal_monai.results.predict_from_archive import predict_from_archive  # noqa: PLC0415

    who = read_credentials(where.auth_file)
    archive = Archive(Connection(where.url or "", who, where.ca, where.client_cert, where.client_key))
    for uid in where.studies or []:
        check_uid(uid)
    studies = where.studies or (archive.studies_since(where.since.date()) if where.since else [])
    if not studies:
        typer.echo(f"{archive.url}: no study with ultrasound since {where.since:%Y-%m-%d}")
        return
    predictor = Predictor(model, **running, throughput=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        summary = predict_from_archive(
            archive,
            studies,
            predictor,
            out,
            options,
            keep=where.keep,
            progress=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )
    report(summary, out)


def report(summary: ArchiveSummary, out: Path) -> None:
    """Say how it went.

    Args:
        summary: of the run.
        out: where the results are.

    Raises:
        FetalMonaiError: if there is no result at all.
        Exit: with status 3 if something failed.
    """
    for uid, done in summary.done.items():
        typer.echo(f"{out / uid}: {done.images} images, {len(done.failures)} inputs that could not be read")
    say_counts(
        [
            (len(summary.there), "studies passed over: their results are in OUT"),
            (len(summary.without_ultrasound), "studies passed over: no ultrasound in them"),
        ]
    )
    if summary.done or summary.there:
        typer.echo(f"{out / 'index.html'} lists all")
    failures = list(summary.failures.values())
    if not summary.done and not summary.there:
        reasons = failures or ["none of them holds ultrasound; choose others"]
        raise FetalMonaiError("there is no study to classify:\n" + "\n".join(f"  {why}" for why in reasons[:20]))
    unread = [failure.message for done in summary.done.values() for failure in done.failures]
    for heading, messages in (("studies without results", failures), ("inputs that could not be read", unread)):
        if messages:
            typer.echo(f"{len(messages)} {heading}:", err=True)
            for message in messages[:20]:
                typer.echo(f"  {message}", err=True)
    if failures or unread:
        raise typer.Exit(3)
