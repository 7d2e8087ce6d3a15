"""CVAT's own export, 'CVAT for images 1.1': XML with one tag for each image."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # documents that define entities are refused below

from fetal_monai.data.importers.labelled import Labelled, plan_labelled
from fetal_monai.data.importers.plan import Plan
from fetal_monai.data.importers.source import Source, read_table
from fetal_monai.data.importers.split_names import split_of_name
from fetal_monai.errors import InputError

_EXPORT = "export the task as 'CVAT for images 1.1'"


def plan_cvat(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of an export with its pictures ('Save images').

    Args:
        source: with `annotations.xml`, at any depth, and perhaps more than one of them.
        patient_pattern: finds the patient in an image's `name`, see `patients_by_name`.

    Returns:
        The plan; the classes are in the order of the task's labels, and a subset called train, validation or test is
        the split.

    Raises:
        InputError: if there is no such export, it is damaged, or an image has two tags.
    """
    files = [name for name in source.names if name.endswith(".xml")]
    roots = {name: root for name in files if (root := _read(source, name)).tag == "annotations"}
    images = [labelled for name, root in roots.items() for labelled in _images(name, root)]
    if not images:
        raise InputError(source.path, [f"there is no XML of CVAT with images in it; {_EXPORT}, with 'Save images'"])
    declared = [(label.text or "").strip() for root in roots.values() for label in root.findall("meta//label/name")]
    used = [label for image in images for label in image.labels]
    return plan_labelled(source, images, list(dict.fromkeys([*declared, *sorted(used)])), patient_pattern)


def _images(file: str, root: ET.Element) -> list[Labelled]:
    return [
        Labelled(
            image.get("name", ""),
            tuple(tag.get("label", "").strip() for tag in image.findall("tag") if tag.get("label", "").strip()),
            f"{file}, image {image.get('id', '?')}",
            split_of_name(image.get("subset", "")),
        )
        for image in root.iter("image")
    ]


def _read(source: Source, name: str) -> ET.Element:
    content = read_table(source, name)
    try:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
            raise InputError(source.path, [f"{name} defines entities, or is not UTF-8, as no export does; {_EXPORT}"])
        return ET.fromstring(content)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise InputError(source.path, [f"{name} is no XML ({error}); {_EXPORT}, or remove it"]) from None
