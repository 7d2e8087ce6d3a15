"""The findings of a check on the console, and the classes that they are held to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
import yaml

from fetal_monai.cli.split_table import print_counts
from fetal_monai.data.checks import DataReport
from fetal_monai.errors import MAX_PROBLEMS_SHOWN, InputError

_HEADINGS = {"error": "Errors: do not train on this", "warning": "Warnings: look at these", "note": "Notes"}


def class_names_of(configs: Sequence[Path]) -> list[str] | None:
    """The list `class_names` of configurations, of which the last wins; None without configurations.

    Raises:
        InputError: if a file cannot be read, or none has the list.
    """
    found = None
    for path in configs:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(path, ["there is no such file; check its folder and name"]) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(path, [f"not a readable configuration ({error}); give a YAML file"]) from None
        names = content.get("class_names") if isinstance(content, dict) else None
        found = [str(name) for name in names] if isinstance(names, list) else found
    if configs and found is None:
        raise InputError(configs[-1], ["it has no list class_names; give a configuration that has"])
    return found


def print_report(report: DataReport, annotations: Path | None) -> None:
    """Print counts, findings by level, and what was not looked at."""
    if report.counts is not None:
        print_counts(report.counts)
    for level, heading in _HEADINGS.items():
        texts = [finding.text for finding in report.findings if finding.level == level]
        if texts:
            typer.echo(f"{heading} ({len(texts)})")
            for text in texts[:MAX_PROBLEMS_SHOWN]:
                typer.echo(f"  {text}")
            if len(texts) > MAX_PROBLEMS_SHOWN:
                typer.echo(f"  ... and {len(texts) - MAX_PROBLEMS_SHOWN} more; --json FILE has them all")
    if annotations is None:
        typer.echo("No table of labels was given or found, so only files were checked.")
    if not report.pixels:
        typer.echo("Images were not decoded: --pixels also finds those that cannot be, show nothing, or look the same.")
    typer.echo(f"{report.images} images: " + ("nothing that should stop a training" if report.fine else "not fine yet"))
