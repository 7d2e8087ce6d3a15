"""The page of a consensus: how the experts agree, what each confuses, and every disagreement with its picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetal_monai.data.consensus import Consensus
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.errors import DicomReadError
from fetal_monai.report.page import write_page
from fetal_monai.report.pictures import data_uri, read_frame, thumbnail

MOST_SHOWN = 200  # disagreements on the page, which keeps it below about 3 MB
SHOWN_FROM = 0.005  # probabilities that a person reads
METHODS = {
    "dawid-skene": "Dawid and Skene: each expert's votes are weighed by what that expert tends to confuse, which is "
    "estimated from the same votes",
    "one-coin": "Dawid and Skene with one number for each expert: votes are weighed by the expert's accuracy, which is "
    "estimated from the same votes",
    "majority": "majority vote: all experts count alike",
}


@dataclass(frozen=True)
class Dispute:
    """An image about which the experts disagree.

    Args:
        uid: SOPInstanceUID.
        frame: its number, -1 for a still.
        label: the class that all together say.
        probability: of that class.
        tied: whether another is as probable.
        unnamed: whether no expert called it that.
        votes: expert and class, in the order of the experts.
        shares: class and probability, the most probable first, without those near 0.
        picture: a data URI, or None.
        why: what is wrong where there is no picture.
    """

    uid: str
    frame: int
    label: str
    probability: float
    tied: bool
    unnamed: bool
    votes: list[tuple[str, str]]
    shares: list[tuple[str, float]]
    picture: str | None = None
    why: str = ""


def write_consensus_page(
    consensus: Consensus,
    path: str | os.PathLike[str],
    *,
    dicom_dir: str | os.PathLike[str] | None = None,
    most: int = MOST_SHOWN,
    title: str = "Consensus of the experts",
) -> Path:
    """Write the page, whole or not at all: one file that asks for nothing else.

    Args:
        consensus: what was found out.
        path: the .html file.
        dicom_dir: where the images are; without it the page has no pictures.
        most: how many disagreements it shows, the most doubtful first.
        title: of the page.

    Returns:
        The path.

    Raises:
        InputError: if there is no such folder of images.
    """
    votes = consensus.votes
    disputed = consensus.disputed
    picture = _pictures(dicom_dir)
    return write_page(
        "consensus.html",
        path,
        title=title,
        method=METHODS[consensus.method],
        alpha=consensus.alpha,
        images=len(votes.images),
        single=int((votes.table["image"].value_counts() == 1).sum()),
        tied=int(consensus.tied.sum()),
        disputed=len(disputed),
        names=votes.class_names,
        experts=[_expert(consensus, name, rank) for rank, name in enumerate(votes.experts)],
        disputes=[describe_dispute(consensus, image, picture) for image in disputed[:most]],
        has_pictures=dicom_dir is not None,
        notes=votes.notes,
    )


def describe_dispute(consensus: Consensus, image: int, picture: Callable[[str, int], str] | None = None) -> Dispute:
    """What the experts say of an image.

    Args:
        consensus: of all.
        image: its number.
        picture: from UID and frame to a data URI; None for no picture.

    Returns:
        The description; an image that cannot be found or read has none, and the reason.
    """
    votes, names = consensus.votes, consensus.votes.class_names
    uid, frame = str(votes.images.loc[image, "SOPInstanceUID"]), int(str(votes.images.loc[image, "frame"]))
    cast = votes.table[votes.table["image"] == image]
    posterior = consensus.posterior[image]
    order = [int(place) for place in np.argsort(-posterior, kind="stable")]
    shown, why = None, ""
    if picture is not None:
        try:
            shown = picture(uid, frame)
        except (LookupError, DicomReadError) as error:
            why = str(error.args[0] if error.args else error)
    return Dispute(
        uid,
        frame,
        names[int(consensus.labels[image])],
        float(consensus.probability[image]),
        bool(consensus.tied[image]),
        bool(consensus.unnamed[image]),
        [(expert, names[label]) for expert, label in cast[["expert", "label"]].itertuples(index=False)],
        [(names[place], float(posterior[place])) for place in order if posterior[place] >= SHOWN_FROM],
        shown,
        why,
    )


def _pictures(dicom_dir: str | os.PathLike[str] | None) -> Callable[[str, int], str] | None:
    if dicom_dir is None:
        return None
    lookup = FileLookup(dicom_dir)
    return lambda uid, frame: data_uri(thumbnail(read_frame(FrameRef(lookup.find(uid, frame), frame))))


def _expert(consensus: Consensus, name: str, rank: int) -> dict[str, Any]:
    """A row of the table of experts, and the matrix below it."""
    table = consensus.votes.table
    own = table[table["expert"] == name]
    rates = consensus.rates(name)
    return {
        "name": name,
        "rank": rank,
        "images": len(own),
        "agrees": float((own["label"].to_numpy() == consensus.labels[own["image"]]).mean()),
        "accuracy": consensus.accuracy(name),
        "rows": [
            {
                "name": true,
                "seen": float(consensus.confusion[name][place].sum()),
                "rates": [None if np.isnan(rate) else float(rate) for rate in rates[place]],
            }
            for place, true in enumerate(consensus.votes.class_names)
        ],
    }
