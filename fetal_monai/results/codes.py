"""The codes of DICOM documents: ours of the private scheme 99FETALMONAI, and SNOMED CT's of the anatomy."""

from __future__ import annotations

import hashlib
import re

from highdicom import sr

from fetal_monai.data.plane_codes import plane_codes
from fetal_monai.study.checklist import Status
from fetal_monai.study.protocol import ProtocolItem

_LONGEST = 64  # characters of a code's meaning (LO, PS3.5 6.2)
_STATUS_CODES = {
    Status.FOUND: "ITEM-FOUND",
    Status.UNCERTAIN: "ITEM-UNCERTAIN",
    Status.MISSING: "ITEM-MISSING",
    Status.NOT_ASSESSABLE: "NOT-ASSESSABLE",
}


def private_code(value: str, meaning: str) -> sr.CodedConcept:
    """Make a code of the private scheme.

    Args:
        value: up to 16 characters.
        meaning: of any length; a code holds 64 characters of it, see `shortened`.

    Returns:
        The code.

    Example:
        >>> private_code("PLANE", "Fetal ultrasound plane").scheme_designator
        '99FETALMONAI'
    """
    return sr.CodedConcept(value, plane_codes()["scheme"], shortened(meaning))


def plane_code(class_name: str) -> sr.CodedConcept:
    """Code a class in the private scheme 99FETALMONAI: no standard scheme names these planes.

    Args:
        class_name: of the model.

    Returns:
        The code of `plane_codes.yaml`, or for other names one that is always the same for the same name.

    Example:
        >>> plane_code("Femur").value, plane_code("Left foot").value
        ('FEMUR', 'C23E111062')
    """
    entry = plane_codes()["planes"].get(class_name)
    return private_code(entry["code"] if entry else "C" + _digest(class_name), class_name)


def anatomy_codes(class_name: str) -> list[sr.CodedConcept]:
    """Give the SNOMED CT codes of what a plane shows.

    Args:
        class_name: of the model.

    Returns:
        The codes, none for classes without a standard one.

    Example:
        >>> [(code.scheme_designator, code.value) for code in anatomy_codes("Kidneys")]
        [('SCT', '64033007')]
    """
    sites = plane_codes()["planes"].get(class_name, {}).get("sites", ())
    return [sr.CodedConcept(value, scheme, meaning) for scheme, value, meaning in sites]


def item_code(item: ProtocolItem) -> sr.CodedConcept:
    """Code an item of a protocol: always the same for the same id and title.

    Args:
        item: of any protocol.

    Returns:
        The code; its meaning is the title, shortened.

    Example:
        >>> code = item_code(ProtocolItem("femur", "Limbs: femur (length)", ("Femur",)))
        >>> code.value, code.meaning
        ('IC3D670939', 'Limbs: femur (length)')
    """
    return private_code("I" + _digest(f"{item.id}\n{item.title}"), item.title)


def status_code(status: Status) -> sr.CodedConcept:
    """Code what is known about an item of a protocol.

    Args:
        status: of the item.

    Returns:
        One of four codes.

    Example:
        >>> status_code(Status.MISSING).value, status_code(Status.NOT_ASSESSABLE).meaning
        ('ITEM-MISSING', 'not assessable by this model')
    """
    return private_code(_STATUS_CODES[status], status.value)


def shortened(text: str) -> str:
    """Make a text fit the meaning of a code: without what stands in brackets at its end, then cut between words.

    Args:
        text: of any length.

    Returns:
        Up to 64 characters; as it was if it fits.

    Example:
        >>> shortened("Head: transthalamic plane (thalami, cavum septi pellucidi, midline falx; biparietal diameter)")
        'Head: transthalamic plane'
        >>> shortened("Chest: four-chamber view of the heart and both of its outflow tracts")
        'Chest: four-chamber view of the heart and both of its outflow...'
    """
    text = re.sub(r"[\\\x00-\x1f\x7f]", " ", text)  # the backslash would part it into two values
    if len(text) > _LONGEST:
        text = re.sub(r"\s+\([^()]*\)\s*$", "", text)
    if len(text) <= _LONGEST:
        return text
    room = text[: _LONGEST - 2]
    head = room[:-1] if " " not in room else room[: room.rindex(" ")]
    return head.rstrip(" ,;:") + "..."


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:9].upper()
