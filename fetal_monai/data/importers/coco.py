"""COCO exports that classify images: one category for each image, in its annotations."""

from __future__ import annotations

import json
from typing import Any

from fetal_monai.data.importers.labelled import Labelled, plan_labelled
from fetal_monai.data.importers.plan import Plan
from fetal_monai.data.importers.source import Source, read_table
from fetal_monai.data.importers.split_names import split_in_name
from fetal_monai.errors import InputError

KEYS = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
_EXPORT = "export the labels as COCO 1.0"


def plan_coco(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of COCO JSON files and the pictures that they name.

    Args:
        source: with one or more of them. A file whose name speaks of a split (`instances_train.json`) gives it.
        patient_pattern: finds the patient in `file_name`, see `patients_by_name`.

    Returns:
        The plan; the classes are in the order of their ids.

    Raises:
        InputError: if there is no COCO file, one is damaged, refers to what is not in it, or an image is of two
            categories.
    """
    files = {name: content for name in source.names if name.endswith(".json") and (content := _read(source, name))}
    if not files:
        raise InputError(source.path, [f"there is no COCO file (JSON with {', '.join(KEYS)}); {_EXPORT}"])
    classes: dict[str, None] = {}  # a set that keeps its order
    images: list[Labelled] = []
    problems: list[str] = []
    for file, content in files.items():
        categories = {category["id"]: str(category["name"]).strip() for category in content["categories"]}
        classes |= dict.fromkeys(categories[number] for number in sorted(categories, key=lambda n: (str(type(n)), n)))
        images += _images(file, content, categories, problems)
    if problems:
        raise InputError(source.path, problems)
    return plan_labelled(source, images, list(classes), patient_pattern)


def _images(
    file: str, content: dict[str, Any], categories: dict[Any, str], problems: list[str]
) -> list[Labelled]:  # fmt: skip
    labels: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
    if len(labels) < len(content["images"]):
        problems.append(f"{file}: some images have the same id; {_EXPORT} again")
    for number, annotation in enumerate(content["annotations"], 1):
        image, category = annotation["image_id"], annotation["category_id"]
        if image not in labels:
            problems.append(f"{file}: annotation {number} is of image {image!r}, which is not in it; {_EXPORT} again")
        elif category not in categories:
            problems.append(f"{file}: annotation {number} is of category {category!r}, which is not in it; correct it")
        else:
            labels[image].append(categories[category])
    split = split_in_name(file.rpartition("/")[2])
    return [
        Labelled(str(image["file_name"]), tuple(labels[image["id"]]), f"{file}, image {image['id']}", split)
        for image in content["images"]
    ]


def _read(source: Source, name: str) -> dict[str, Any] | None:
    """Return a COCO file's content; None for JSON of another kind."""
    try:
        content = json.loads(read_table(source, name).decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(source.path, [f"{name} is no JSON ({error}); {_EXPORT}, or remove it"]) from None
    if not isinstance(content, dict) or not KEYS.keys() <= content.keys():
        return None
    for key, needed in KEYS.items():
        entries = content[key]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(source.path, [f"{name}: {key} is no list of objects; {_EXPORT}"])
        for field in needed:
            if not all(isinstance(entry.get(field), (str, int)) for entry in entries):
                raise InputError(source.path, [f"{name}: an entry of {key} has no {field}; {_EXPORT}"])
    return content
