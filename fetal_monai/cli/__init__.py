"""The command line: `fetal-monai --help`. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import io
import sys
from typing import Any

import typer
from typer.core import TyperGroup

import fetal_monai
from fetal_monai.cli.audit import audit
from fetal_monai.cli.bundle import bundle
from fetal_monai.cli.check import check
from fetal_monai.cli.compare import compare
from fetal_monai.cli.consensus import consensus
from fetal_monai.cli.deidentify import deidentify
from fetal_monai.cli.export_model import export_model
from fetal_monai.cli.fetch_weights import fetch_weights
from fetal_monai.cli.import_data import import_data
from fetal_monai.cli.import_weights import import_weights
from fetal_monai.cli.label import label
from fetal_monai.cli.node import node
from fetal_monai.cli.phantom import phantom
from fetal_monai.cli.predict import predict
from fetal_monai.cli.run import run
from fetal_monai.cli.split import split
from fetal_monai.errors import FetalMonaiError, find_user_error
from fetal_monai.utils.interrupts import heed_lost_interrupts


class _Commands(TyperGroup):
    """All commands: a user's mistake is one message and exit status 1, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        heed_lost_interrupts()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a file's name may be no text, and is told all the same
        try:
            return super().invoke(ctx)
        except (FetalMonaiError, OSError) as error:
            told = find_user_error(error)
            if told is None:
                raise
            typer.echo(f"Error: {told}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="fetal-monai",
    cls=_Commands,
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


# In the order in which help lists them: what people begin with, first.
app.command()(phantom)
app.command()(predict)
app.command()(split)
app.command()(check)
app.command()(bundle)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="",
    epilog="fetal-monai run training --config_file bundle/configs/train.yaml --dataset_dir DATA",
)(run)
app.command("import")(import_data)
app.command()(deidentify)
app.command()(label)
app.command()(node)
app.command()(consensus)
app.command()(compare)
app.command()(audit)
app.command("export")(export_model)
app.command("fetch-weights")(fetch_weights)
app.command("import-weights")(import_weights)
