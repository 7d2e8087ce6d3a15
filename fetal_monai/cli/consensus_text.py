"""A consensus on the console."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fetal_monai.data.consensus import Consensus
from fetal_monai.results.consensus_folder import experts_table

FEW_EXPERTS = 3
FEW_IMAGES = 10  # of a class: below that a confusion is mostly guesswork


def print_consensus(consensus: Consensus, out: Path) -> None:
    """Print the experts and how far they agree, and what wants attention."""
    votes = consensus.votes
    shown = Table("Expert")
    for heading in ("Images", "Agrees", "Estimated accuracy"):
        shown.add_column(heading, justify="right")
    for name, images, agrees, accuracy in experts_table(consensus).itertuples(index=False):
        shown.add_row(escape(name), str(images), f"{agrees:.1%}", f"{accuracy:.1%}")
    Console().print(shown)
    alpha = "undefined" if consensus.alpha is None else f"{consensus.alpha:.3f}"
    images = "1 image" if len(votes.images) == 1 else f"{len(votes.images)} images"
    typer.echo(f"{images}, {len(consensus.disputed)} with a disagreement; Krippendorff's alpha {alpha}")
    typer.echo(f"{out / 'annotations.csv'}; look at {out / 'disagreements.html'}")
    for note in (*votes.notes, *_cautions(consensus)):
        typer.echo(f"Note: {note}", err=True)


def _cautions(consensus: Consensus) -> list[str]:
    votes = consensus.votes
    notes = []
    if tied := int(consensus.tied.sum()):
        notes.append(f"{tied} have two classes equally probable and got the first in the list; decide these yourself")
    if unnamed := int(consensus.unnamed.sum()):
        notes.append(f"{unnamed} got a class that no expert gave them, because all seem to confuse it; look at these")
    if len(votes.experts) < FEW_EXPERTS:
        notes.append("two experts cannot outvote each other: how sure the labels are is little more than a guess")
    named = len(set(votes.table["label"]))
    if consensus.method == "dawid-skene" and len(votes.images) < FEW_IMAGES * named:
        few = f"{len(votes.images)} images are few to learn who confuses which of {named} classes"
        notes.append(f"{few}; --method one-coin needs fewer")
    if not consensus.converged:
        notes.append("the estimate had not settled when it was stopped; see whether --method majority differs much")
    if "split" not in votes.images or (votes.images["split"] == "").any():
        notes.append("split is empty; fill it in with `fetal-monai split` before training")
    return notes
