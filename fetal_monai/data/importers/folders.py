"""A folder per class, as many data sets come: `Femur/1.png`, or `train/Femur/1.png` with splits."""

from __future__ import annotations

from fetal_monai.data.importers.plan import Item, Plan, patients_by_name
from fetal_monai.data.importers.source import Source, by_title, pictures
from fetal_monai.data.importers.split_names import split_of_name
from fetal_monai.errors import InputError

_LAYOUT = "make one folder for each class (Femur/1.png), or folders train, val and test with those in them"


def plan_folders(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of a folder-per-class tree.

    Args:
        source: the tree. If all folders at its top are called train, val (or valid, validation) and test, they are
            the splits, and the classes lie below them. What lies deeper belongs to its class.
        patient_pattern: finds the patient in a picture's path below the top, see `patients_by_name`.

    Returns:
        The plan; the classes are in alphabetical order.

    Raises:
        InputError: if there is no picture, or one that lies in no class's folder.
    """
    members = _members(pictures(source))
    if not members:
        raise InputError(source.path, [f"there is no PNG or JPEG in it; {_LAYOUT}"])
    tops = {title.partition("/")[0] for title in members}
    with_splits = all(split_of_name(top) for top in tops)
    depth = 2 if with_splits else 1
    parts = {title: title.split("/") for title in members}
    strays = [title for title, names in parts.items() if len(names) <= depth]
    if strays:
        raise InputError(source.path, [f"{title}: lies in no folder of a class; {_LAYOUT}" for title in strays])
    patients, notes = patients_by_name(str(source.path), members, patient_pattern)
    items = tuple(
        Item(
            member,
            title,
            label=parts[title][depth - 1],
            patient=patients[title],
            split=split_of_name(parts[title][0]) if with_splits else "",
        )
        for title, member in members.items()
    )
    pictured = set(members.values())
    left_out = tuple((name, "neither PNG nor JPEG") for name in source.names if name not in pictured)
    return Plan(tuple(sorted({item.label for item in items})), items, left_out=left_out, notes=notes)


def _members(names: list[str]) -> dict[str, str]:
    members = by_title(names)
    if any("/" in title for title in members):
        return members
    # All in one folder: it is the only class, not a folder around the classes.
    return {"/".join(name.split("/")[-2:]): name for name in names}
