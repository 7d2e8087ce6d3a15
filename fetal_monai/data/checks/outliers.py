"""Images unlike the others in size or colour, and images that show nothing."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import ImageTable, SeenImage
from fetal_monai.data.checks.perceptual_hash import FLAT

SHOWN = 5
"""The most images that stand with a finding about many."""
_RARE = 0.05
_IN_COLOUR = 0.02


def outliers(images: ImageTable) -> list[Finding]:
    """Find them.

    Args:
        images: all of them; colour and emptiness need decoded ones.

    Returns:
        A warning for each image that is empty, or less than half or more than twice as large as the median; one note
        about images in colour where those are rare.
    """
    if not len(images):
        return []
    sides = images.shorter_sides()
    middle = float(np.median(sides))
    odd = (sides < middle / 2) | (sides > middle * 2)
    findings: list[Finding] = []
    if odd.mean() <= _RARE:
        for image in (images[position] for position in np.flatnonzero(odd).tolist()):
            text = (
                f"{image.listed}: {image.facts.rows} x {image.facts.columns} pixels, where the others' shorter side is "
            )
            findings.append(_about(image, "size", f"{text}about {middle:.0f}; is it a thumbnail, or another probe?"))
    findings += [
        _about(image, "empty", f"{image.listed}: the image shows nothing; look at it, and remove it")
        for image in (images[position] for position, look in images.looks.items() if look.spread < FLAT)
    ]
    coloured = [images[position] for position, look in images.looks.items() if look.coloured > _IN_COLOUR]
    if 0 < len(coloured) <= _RARE * len(images):
        places = ", ".join(str(image.listed) for image in coloured[:SHOWN]) + (", ..." if len(coloured) > SHOWN else "")
        text = f"{len(coloured)} of {len(images)} images are in colour: {places}"
        rows = tuple(image.listed.row for image in coloured if image.listed.row)
        findings.append(Finding("note", "colour", text, rows, tuple(image.listed.image for image in coloured[:SHOWN])))
    return findings


def _about(image: SeenImage, kind: str, text: str) -> Finding:
    return Finding("warning", kind, text, (image.listed.row,) if image.listed.row else (), (image.listed.image,))
