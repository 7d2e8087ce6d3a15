"""The command line: `fetal-monai --help`. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

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
