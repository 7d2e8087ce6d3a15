"""HC18 (van den Heuvel et al., PLoS ONE 13(8), 2018; CC BY 4.0): https://zenodo.org/records/1327317."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from fetal_monai.data.importers.plan import Item, Plan
from fetal_monai.data.importers.source import Source, pictures
from fetal_monai.errors import InputError

CLASS = "Head"
_IMAGE = re.compile(r"(\d{3})_\d?HC\.png")
_OUTLINE = re.compile(r"\d{3}_\d?HC_Annotation\.png")


def plan_hc18(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of the training set: `training_set/000_HC.png`, or `training_set.zip` as it is.

    The number in front is the examination, and all of it is one patient here (`010_HC.png`, `010_2HC.png`). That a
    woman was examined more than once, the archive does not tell.

    Args:
        source: the archive.
        patient_pattern: none is needed: the names have the numbers.

    Returns:
        The plan, with the one class Head; the drawn outlines and the test set, whose numbers begin again, are left out.

    Raises:
        InputError: if there is no such image.
    """
    if patient_pattern is not None:
        raise InputError("--patient-pattern", ["the names of HC18 have the patients; leave it out"])
    items: list[Item] = []
    left_out: list[tuple[str, str]] = []
    for name in pictures(source):
        path = PurePosixPath(name)
        image = _IMAGE.fullmatch(path.name)
        if "test_set" in path.parts:
            left_out.append((name, "of the test set, whose numbers are of others than those of the training set"))
        elif image:
            items.append(Item(name, path.name, CLASS, image[1]))
        else:
            outline = _OUTLINE.fullmatch(path.name)
            left_out.append((name, "an outline drawn by hand" if outline else "its name is none of HC18"))
    if not items:
        problem = "there is no training_set/NNN_HC.png; give training_set.zip of Zenodo 1327317, or its folder"
        raise InputError(source.path, [problem])
    twice = [title for title, count in Counter(item.title for item in items).items() if count > 1]
    if twice:
        raise InputError(source.path, [f"{title} is there twice; give one copy of the training set" for title in twice])
    return Plan(
        (CLASS,),
        tuple(items),
        left_out=tuple(left_out),
        published_as="HC18",
        licence="HC18, CC BY 4.0, https://zenodo.org/records/1327317; cite van den Heuvel et al., 2018",
        cropped=True,
    )
