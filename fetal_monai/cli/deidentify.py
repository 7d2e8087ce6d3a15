"""`fetal-monai deidentify`: copies that name no one."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fetal_monai.cli.progress import progress_bar
from fetal_monai.utils.interrupts import tidy_termination

if TYPE_CHECKING:
    from fetal_monai.deidentify import Outcome

INCOMPLETE = 3  # the exit status where some files are not there
SHOWN = 20


class Kept(str, Enum):
    """What `fetal_monai.deidentify.Keep` knows, here again so that help need not import it."""

    DEVICE = "device"
    CHARACTERISTICS = "characteristics"
    SHIFTED_DATES = "shifted-dates"


@tidy_termination()
def deidentify(
    source: Annotated[Path, typer.Argument(help="The folder with the DICOM files, or one file. It stays as it is.")],
    out: Annotated[
        Path, typer.Argument(help="The folder to make: dicom/, contact_sheet.html and its pictures, annotations.csv.")
    ],
    *,
    key: Annotated[
        Path | None,
        typer.Option(help="A secret file, made if it is not there: the same names in every run with it. Keep it safe."),
    ] = None,
    keep: Annotated[
        list[Kept] | None, typer.Option(help="Beyond the basic profile, can be given several times.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="A CSV of labels, to be renamed; by default SOURCE/annotations.csv if there.")
    ] = None,
    name_map: Annotated[
        Path | None,
        typer.Option("--map", help="Write old and new names here, outside OUT. It tells who is who: keep it safe."),
    ] = None,
    banner: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the height to blank where no regions leave it out; 0.08 by default."),
    ] = None,
) -> None:
    """Write copies that name no one: headers by the DICOM profile, pixels outside the ultrasound regions blanked.

    Look over OUT/contact_sheet.html before the copies go anywhere.

    Exit status: 0 all ultrasound files done; 1 a mistake; 2 wrong usage; 3 some files could not be done, the others
    are in OUT.
    """
    from fetal_monai.deidentify import Keep, deidentify_folder  # noqa: PLC0415
    from fetal_monai.deidentify.kept_pixels import BANNER_FRACTION  # noqa: PLC0415

    if annotations is None and (source / "annotations.csv").is_file():
        annotations = source / "annotations.csv"
    with progress_bar("De-identifying") as tell:
        outcome = deidentify_folder(
            source,
            out,
            key=key,
            keep=[Keep(option.value) for option in keep or []],
            annotations=annotations,
            name_map=name_map,
            banner=BANNER_FRACTION if banner is None else banner,
            progress=tell,
        )
    _show(outcome, out, key, banner=banner)
    if outcome.failures or outcome.unlabelled:
        raise typer.Exit(INCOMPLETE)


def _show(outcome: Outcome, out: Path, key: Path | None, *, banner: float | None) -> None:
    written = outcome.written
    unsure = sum(not one.declared for one in written)
    typer.echo(f"{out}: {len(written)} files of {len({one.study_uid for one in written})} studies")
    for syntax, count in Counter(one.syntax for one in written).most_common():
        typer.echo(f"  {count} in {syntax}")
    if outcome.new_key:
        typer.echo(f"Made the key {key}. Keep it safe, and apart from {out}: it can tell who is who.")
    for reason, count in Counter(outcome.passed_over.values()).most_common():
        typer.echo(f"{count} passed over: {reason}")
    if unsure:
        files = "1 file declares" if unsure == 1 else f"{unsure} files declare"
        blanked = "" if banner == 0 else "; the banner is blanked"
        typer.echo(f"{files} no ultrasound regions that leave the banner out{blanked}; text may be left.", err=True)
    _list("files could not be de-identified", outcome.failures)
    _list(
        "rows of the labels are left out",
        {f"row {row}": problem for row, problem in outcome.unlabelled.items()},
    )
    if written:
        typer.echo(f"Look over {out / 'contact_sheet.html'} before the files go anywhere.")


def _list(what: str, problems: dict[str, str]) -> None:
    if problems:
        typer.echo(f"{len(problems)} {what}:", err=True)
    for name, reason in list(problems.items())[:SHOWN]:
        typer.echo(f"  {name}: {reason}", err=True)
    if len(problems) > SHOWN:
        typer.echo(f"  ... and {len(problems) - SHOWN} more", err=True)
