"""`fetal-monai consensus`: several experts' labels as one table."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Method(str, Enum):
    """What `fetal_monai.data.consensus` knows, here again so that help need not import it."""

    DAWID_SKENE = "dawid-skene"
    ONE_COIN = "one-coin"
    MAJORITY = "majority"


def consensus(
    tables: Annotated[
        list[Path], typer.Argument(help="A CSV for each expert, who is named by its file; or with a column expert.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder to make: annotations.csv, experts, disagreements.")],
    config: Annotated[
        list[Path] | None, typer.Option(help="A configuration with class_names to hold the labels to; the last wins.")
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Add a column of probabilities for each class, for a training to learn from.")
    ] = False,
    method: Annotated[
        Method, typer.Option(help="Weigh experts by what each confuses, by the accuracy of each, or not at all.")
    ] = Method.DAWID_SKENE,
    dicom: Annotated[Path | None, typer.Option(help="The folder with the images, for pictures on the page.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Disagreements that the page shows; the CSV has all.")] = 200,
) -> None:
    """Turn the labels of several experts into one table, with what each confuses and where they disagree."""
    from fetal_monai.cli.check_text import class_names_of  # noqa: PLC0415
    from fetal_monai.cli.consensus_text import print_consensus  # noqa: PLC0415
    from fetal_monai.data.consensus import find_consensus, read_votes  # noqa: PLC0415
    from fetal_monai.results.consensus_folder import write_consensus  # noqa: PLC0415

    votes = read_votes(tables, class_names_of(config or []))
    found = find_consensus(votes, method.value)
    write_consensus(found, out, soft=soft, dicom_dir=dicom, most=pictures)
    print_consensus(found, out)
