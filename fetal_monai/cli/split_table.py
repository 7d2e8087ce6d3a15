"""How many images of each class a split has, on the console."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fetal_monai.data.splits import rare_classes, split_counts


def print_split(path: Path, table: pd.DataFrame) -> None:
    """Print the counts of a table that was split, and name the classes that cannot be in every split."""
    counts = split_counts(table)
    typer.echo(f"{path}:")
    print_counts(counts)
    parts = int((counts.loc["patients"].to_numpy() > 0).sum())
    for name, patients in rare_classes(table, parts).items():
        who = "1 patient" if patients == 1 else f"{patients} patients"
        typer.echo(f"Warning: {name} has {who}, too few for {parts} splits; label more of them", err=True)


def print_counts(counts: pd.DataFrame) -> None:
    """Print the counts of `split_counts`, without splits that nobody is in."""
    counts = counts.loc[:, counts.loc["images"] > 0]
    shown = Table("", *map(str, counts.columns))
    for name, row in counts.iterrows():
        if name == "images":
            shown.add_section()
        shown.add_row(escape(str(name)), *map(str, row))
    Console().print(shown)
