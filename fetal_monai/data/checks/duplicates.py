"""The same image twice: to the pixel, or as a copy that was compressed or scaled again."""

from __future__ import annotations

from fetal_monai.data.checks.finding import Finding, Level
from fetal_monai.data.checks.image_table import ImageTable, SeenImage, groups
from fetal_monai.data.checks.perceptual_hash import alike


def exact_duplicates(images: ImageTable) -> list[Finding]:
    """Find images of the same pixels in different files.

    Args:
        images: all of them.

    Returns:
        An error for a pair in two splits or of two classes, else a warning.
    """
    findings: list[Finding] = []
    for group in groups(images.digests()):
        first, *others = (images[position] for position in group.tolist())
        findings += [
            _finding("duplicate", "are the same to the pixel", first, other)
            for other in others
            if other.listed.image != first.listed.image  # one image in two rows is told elsewhere
        ]
    return findings


def near_duplicates(images: ImageTable) -> list[Finding]:
    """Find images that look the same and are not the same to the pixel, where it matters: across splits or patients.

    Args:
        images: all of them; those that were not decoded are passed over. Frames of one clip are left alone.

    Returns:
        An error for a pair in two splits, else a warning.
    """
    looked = list(images.looks)
    findings: list[Finding] = []
    for one, other in alike(list(images.looks.values())):
        a, b = images[looked[one]], images[looked[other]]
        apart = a.listed.split != b.listed.split or a.patient != b.patient
        if apart and a.digest != b.digest and a.listed.image.path != b.listed.image.path:
            findings.append(_finding("near_duplicate", "look the same", a, b))
    return findings


def _finding(kind: str, what: str, one: SeenImage, other: SeenImage) -> Finding:
    one, other = sorted((one, other), key=lambda image: image.listed.row)
    level: Level = "warning"
    remedy = "look at both, and keep one"
    if one.listed.split != other.listed.split:
        level, remedy = "error", "what is learnt from one is tested on the other: remove one, or put both in one split"
    elif kind == "duplicate" and one.listed.label != other.listed.label:
        level, remedy = "error", "one of the labels is wrong: correct it and keep one"
    names = f"{one.listed.image} and {other.listed.image}"
    place = f"{one.listed} and {other.listed}: {names}" if one.listed.row else names
    rows = tuple(image.listed.row for image in (one, other) if image.listed.row)
    images = (one.listed.image, other.listed.image)
    return Finding(level, kind, f"{place} {what}; {remedy}", rows, images)
