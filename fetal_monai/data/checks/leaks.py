"""A patient in two splits, by what the headers say, whatever the table says."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import ImageTable, SeenImage, Word, groups

_TOO_COMMON = 0.5


def header_leaks(images: ImageTable) -> list[Finding]:
    """Find patients and studies of the headers that are in two splits.

    What the table's own `patient_id` shows is not said again. An id that most of the images of several patients share
    is what de-identification leaves, and no error.

    Args:
        images: all of them.

    Returns:
        The findings.
    """
    findings: list[Finding] = []
    told: set[frozenset[int]] = set()
    splits, patients, rows = images.codes("split"), images.codes("patient"), images.rows()
    columns: tuple[tuple[str, Word], ...] = (("PatientID", "header_patient"), ("StudyInstanceUID", "header_study"))
    for name, column in columns:
        codes = images.codes(column)
        for group in groups(codes):
            if not codes[group[0]] or (splits[group] == splits[group[0]]).all():
                continue
            members, named = frozenset(rows[group].tolist()), np.unique(patients[group])
            known_to_table = len(named) == 1 and named[0]
            if not known_to_table and members not in told:
                told.add(members)
                leaked = [images[position] for position in group.tolist()]
                findings.append(_finding(name, leaked, len(named), len(images)))
    return findings


def _finding(name: str, group: list[SeenImage], patients: int, images: int) -> Finding:
    ordered = sorted(group, key=lambda image: image.listed.row)
    if len(group) > _TOO_COMMON * images and (patients > 1 or len(group) == images):
        text = f"{len(group)} of {images} images have the same {name}, so that it tells no patients apart"
        return Finding("warning", "identifiers", f"{text}; it was probably made so by de-identification")
    first = ordered[0]
    stray = next(image for image in ordered if image.listed.split != first.listed.split)
    text = f"{stray.listed} has the same {name} in its header as {first.listed}, {len(group)} images in all"
    remedy = "correct patient_id or the splits: a patient belongs in one"
    rows = tuple(image.listed.row for image in ordered)
    return Finding("error", "patient", f"{text}; {remedy}", rows, (first.listed.image, stray.listed.image))
