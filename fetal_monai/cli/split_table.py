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
    used = counts.loc[:, counts.loc["patients"].to_numpy() > 0]
    parts = len(used.columns)
    rare = rare_classes(table, parts)
    for name, patients in rare.items():
        who = "1 patient" if patients == 1 else f"{patients} patients"
        typer.echo(f"Warning: {name} has {who}, too few for {parts} splits; label more of them", err=True)
    for label, row in used.drop(index=["images", "patients"]).iterrows():
        lacking = [str(split) for split in used.columns if row[split] == 0]
        if lacking and label not in rare:
            where = " and ".join(lacking)
            typer.echo(f"Warning: {label} has no image in {where}; try another --seed, or label more", err=True)


def print_counts(counts: pd.DataFrame) -> None:
    """Print the counts of `split_counts`, without splits that nobody is in."""
    counts = counts.loc[:, counts.loc["images"] > 0]
    shown = Table("", *map(str, counts.columns))
    for name, row in counts.iterrows():
        if name == "images":
            shown.add_section()
        shown.add_row(escape(str(name)), *map(str, row))
    Console().print(shown)
