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
    counts = counts.loc[:, counts.loc["patients"] > 0]
    shown = Table("", *map(str, counts.columns))
    for name, row in counts.iterrows():
        if name == "images":
            shown.add_section()
        shown.add_row(escape(str(name)), *map(str, row))
    typer.echo(f"{path}:")
    Console().print(shown)
    for name, patients in rare_classes(table, len(counts.columns)).items():
        who = "1 patient" if patients == 1 else f"{patients} patients"
        typer.echo(f"Warning: {name} has {who}, too few for {len(counts.columns)} splits; label more of them", err=True)
