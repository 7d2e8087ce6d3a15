"""The folder that a consensus leaves: labels to train on, the experts, and the disagreements for eyes."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from fetal_monai.data.consensus import Consensus
from fetal_monai.data.soft_labels import PREFIX
from fetal_monai.errors import InputError
from fetal_monai.report.consensus_page import MOST_SHOWN, write_consensus_page
from fetal_monai.utils.files import atomic_folder, write_json

_LEADING = ("SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id")
_DIGITS = 6


def write_consensus(
    consensus: Consensus,
    folder: str | os.PathLike[str],
    *,
    soft: bool = False,
    dicom_dir: str | os.PathLike[str] | None = None,
    most: int = MOST_SHOWN,
) -> Path:
    """Write all that is known, whole or not at all.

    annotations.csv (the table of a training), experts.csv, confusion.csv, disagreements.csv, disagreements.html and
    consensus.json.

    Args:
        consensus: what was found out.
        folder: a new one, or an empty one.
        soft: whether annotations.csv has a column of probabilities for each class.
        dicom_dir: where the images are, for the pictures of the page.
        most: how many disagreements the page shows.

    Returns:
        The folder.

    Raises:
        InputError: if the folder holds something or cannot be written, or there is no such folder of images.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(target, ["it is there already, and not an empty folder; give another --out"])
    try:
        with atomic_folder(target) as fresh:
            tables = {
                "annotations.csv": annotations_table(consensus, soft=soft),
                "experts.csv": experts_table(consensus),
                "confusion.csv": confusion_table(consensus),
                "disagreements.csv": disagreements_table(consensus),
            }
            for name, table in tables.items():
                table.to_csv(fresh / name, index=False, encoding="utf-8", lineterminator="\n")
            write_json(_summary(consensus), fresh / "consensus.json")
            write_consensus_page(consensus, fresh / "disagreements.html", dicom_dir=dicom_dir, most=most)
    except OSError as error:
        raise InputError(target, [f"cannot be written ({error.strerror}); give another --out"]) from None
    return target


def annotations_table(consensus: Consensus, *, soft: bool = False) -> pd.DataFrame:
    """Make the table that a training reads.

    Args:
        consensus: what was found out.
        soft: whether to add a column of probabilities for each class, `p:Femur`.

    Returns:
        A row for each image: the most probable class, and what the experts' tables agree on.
    """
    numbers = consensus.votes.class_numbers
    names = [consensus.votes.class_names[label] for label in consensus.labels]
    table = consensus.votes.images.reset_index(drop=True)
    table = table.assign(**{"class": names, "class_int": [numbers[name] for name in names]})
    table = table.assign(**{name: "" for name in _LEADING[:-1] if name not in table})
    leading = [name for name in _LEADING if name in table]
    table = table[[*leading, *(name for name in table if name not in leading)]]
    if soft:
        shares = pd.DataFrame(consensus.posterior.round(_DIGITS), columns=[PREFIX + name for name in numbers])
        table = pd.concat([table, shares], axis=1)
    return table


def experts_table(consensus: Consensus) -> pd.DataFrame:
    """Make a row for each expert.

    Args:
        consensus: what was found out.

    Returns:
        `expert`, `images`, `agrees` (the share that the consensus agrees with) and `estimated_accuracy`.
    """
    table = consensus.votes.table
    right = table.assign(agrees=table["label"].to_numpy() == consensus.labels[table["image"]])
    found = right.groupby("expert", sort=True).agg(images=("image", "size"), agrees=("agrees", "mean")).reset_index()
    return found.assign(estimated_accuracy=[consensus.accuracy(name) for name in found["expert"]]).round(_DIGITS)


def confusion_table(consensus: Consensus) -> pd.DataFrame:
    """Make a row for each expert, true class and class given, but for classes that nobody named.

    Args:
        consensus: what was found out.

    Returns:
        `expert`, `true`, `given`, `images` (as many as expected) and `rate` (their share of the true class's images;
        empty where the expert saw none).
    """
    names, rows = consensus.votes.class_names, []
    used = [place for place in range(len(names)) if consensus.posterior[:, place].sum() >= 0.5]
    used = sorted({*used, *consensus.votes.table["label"]})
    for expert, counts in consensus.confusion.items():
        rates = consensus.rates(expert)
        rows += [
            (expert, names[true], names[given], round(counts[true, given], _DIGITS), round(rates[true, given], _DIGITS))
            for true in used
            for given in used
        ]
    return pd.DataFrame(rows, columns=["expert", "true", "given", "images", "rate"])


def disagreements_table(consensus: Consensus) -> pd.DataFrame:
    """Make a row for each image that some expert called otherwise, the most doubtful first.

    Args:
        consensus: what was found out.

    Returns:
        The image, `class` and `probability` of the consensus, `tied`, and a column `expert:NAME` for each vote.
    """
    votes, disputed = consensus.votes, consensus.disputed
    names = votes.class_names
    images = votes.images.loc[disputed, ["SOPInstanceUID", "frame"]].reset_index(drop=True)
    images["class"] = [names[label] for label in consensus.labels[disputed]]
    images["probability"] = consensus.probability[disputed].round(_DIGITS)
    images["tied"] = consensus.tied[disputed]
    cast = votes.table.pivot_table(index="image", columns="expert", values="label")
    for expert in votes.experts:
        given = cast[expert].reindex(disputed)
        images[f"expert:{expert}"] = ["" if pd.isna(label) else names[int(label)] for label in given]
    return images


def _summary(consensus: Consensus) -> dict[str, object]:
    votes = consensus.votes
    return {
        "method": consensus.method,
        "converged": consensus.converged,
        "images": len(votes.images),
        "votes": len(votes.table),
        "experts": votes.experts,
        "classes": votes.class_numbers,
        "krippendorff_alpha": consensus.alpha,
        "images_with_a_disagreement": len(consensus.disputed),
        "images_tied": int(consensus.tied.sum()),
        "images_with_one_vote": int((votes.table["image"].value_counts() == 1).sum()),
        "notes": list(votes.notes),
    }
