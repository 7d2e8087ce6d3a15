"""`fetal-monai audit`: does a model look at the anatomy?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fetal_monai.cli.outputs import write_outputs
from fetal_monai.cli.progress import progress_bar
from fetal_monai.cli.released import RELEASED_BY_DEFAULT, model_folder

SHORTCUT = 3  # the exit status where a shortcut was found


def audit(
    data: Annotated[Path, typer.Argument(help="The folder with the images.")],
    *,
    model: Annotated[
        Path | None, typer.Option(help=f"A model folder, as training writes it; {RELEASED_BY_DEFAULT}.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="The CSV of labels; by default DATA/annotations.csv.")
    ] = None,
    split: Annotated[str, typer.Option(help="The images to ask about: of a split that the model has not learnt.")] = (
        "test"
    ),
    page: Annotated[Path | None, typer.Option(help="Write a page to look at, .html, with the changed screens.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the answers as JSON, too.")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Effects on accuracy up to this do not matter.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="The same seed gives the same screens.")] = 0,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; by default CUDA if there is one.")] = None,
) -> None:
    """Find out whether a model reads banner, scales and calipers instead of the anatomy.

    It is asked about images with their anatomy hidden, their surroundings hidden, the surroundings of another class,
    and calipers drawn over them.

    Exit status: 0 no shortcut found, or too few images to tell; 1 a mistake; 2 wrong usage; 3 a shortcut was found.
    """
    from fetal_monai.audit.audit import audit_model  # noqa: PLC0415
    from fetal_monai.audit.page import CONCLUSIONS, write_audit_page  # noqa: PLC0415
    from fetal_monai.audit.verdict import Verdict  # noqa: PLC0415
    from fetal_monai.data import load_datalists  # noqa: PLC0415
    from fetal_monai.inference import Predictor  # noqa: PLC0415
    from fetal_monai.model import read_facts  # noqa: PLC0415
    from fetal_monai.model.learnt import has_learnt  # noqa: PLC0415
    from fetal_monai.report.summary import format_interval  # noqa: PLC0415

    folder = model_folder(model)
    predictor = Predictor(folder, device, throughput=True)
    table = annotations or data / "annotations.csv"
    items = load_datalists(table, data, predictor.class_names, splits=[split])[split]
    if has_learnt(read_facts(folder), items):
        typer.echo(
            f"Warning: the model has learnt from these images ({split}); it knows them by heart, whatever it looks at. "
            "Audit it on others.",
            err=True,
        )
    with progress_bar("Judging") as tell:
        found = audit_model(
            items,
            predictor,
            tolerance=tolerance,
            seed=seed,
            progress=lambda done: tell(done, len(items)),
        )
    typer.echo(f"{found.images} images of {found.patients} patients, accuracy {format_interval(found.accuracy)}")
    for answer in found.answers:
        effect = format_interval(answer.effect)
        typer.echo(f"{answer.question} {answer.verdict.value}: effect {effect} ({answer.change})")
    for name, (count, accuracy) in found.devices.items():
        typer.echo(f"{name}: {count} images, accuracy {format_interval(accuracy)}")
    for failure in found.failures:
        typer.echo(f"not read: {failure.message}", err=True)
    write_outputs(found.to_json, json, page, lambda path: write_audit_page(found, items, path, seed=seed))
    typer.echo(CONCLUSIONS[found.verdict])
    if found.verdict is Verdict.FOUND:
        raise typer.Exit(SHORTCUT)
