"""A patient in two splits, by what the headers say, whatever the table says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.images import SeenImage

_TOO_COMMON = 0.5


def header_leaks(images: Sequence[SeenImage]) -> list[Finding]:
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
    for name, key in (("PatientID", "patient"), ("StudyInstanceUID", "study")):
        groups: dict[str, list[SeenImage]] = defaultdict(list)
        for image in images:
            groups[getattr(image.facts, key)].append(image)
        groups.pop("", None)
        for group in groups.values():
            rows = frozenset(image.listed.row for image in group)
            patients = {image.listed.patient for image in group}
            known_to_table = len(patients) == 1 and "" not in patients
            if len({image.listed.split for image in group}) > 1 and not known_to_table and rows not in told:
                told.add(rows)
                findings.append(_finding(name, group, len(patients), len(images)))
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
