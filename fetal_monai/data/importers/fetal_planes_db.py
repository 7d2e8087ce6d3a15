"""FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 10, 10200, 2020; CC BY 4.0): https://zenodo.org/records/3904280."""

from __future__ import annotations

from pathlib import PurePosixPath

import yaml

from fetal_monai.data.importers.plan import Item, Plan, unknown_name
from fetal_monai.data.importers.published_table import find_table, read_rows
from fetal_monai.data.importers.source import Source, pictures
from fetal_monai.errors import InputError
from fetal_monai.utils.bundle import bundle_root

TABLE = "FETAL_PLANES_DB_data.csv"
COLUMNS = ("Image_name", "Patient_num", "Plane", "Brain_plane", "US_Machine", "Train")
BRAIN = "Fetal brain"
PLANES = {  # as the archive calls them, and as bundle/configs/datasets/fetal_planes.yaml does
    "Fetal abdomen": "Abdomen",
    "Fetal femur": "Femur",
    "Fetal thorax": "Thorax",
    "Maternal cervix": "Cervix",
    "Other": "Other",
}
BRAIN_PLANES = {
    "Trans-thalamic": "Head (trans-thalamic)",
    "Trans-ventricular": "Head (trans-ventricular)",
    "Trans-cerebellum": "Head (trans-cerebellum)",
}
OTHER_BRAIN = "Other"  # a brain in none of the three planes, for which the eight classes have no place
SPLITS = {"1": "train", "0": "test"}
_WHOLE = "download the archive again from https://zenodo.org/records/3904280"


def class_names() -> tuple[str, ...]:
    """Return the eight classes of `bundle/configs/datasets/fetal_planes.yaml`, in its order.

    Returns:
        Their names.
    """
    config = bundle_root() / "configs/datasets/fetal_planes.yaml"
    return tuple(yaml.safe_load(config.read_text(encoding="utf-8"))["class_names"])


def plan_fetal_planes_db(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of the archive as Zenodo has it: `FETAL_PLANES_DB_data.csv` and `Images/`, at any depth.

    Args:
        source: the archive.
        patient_pattern: none is needed: the table has the patients.

    Returns:
        The plan, with the official split in `train` and `test`.

    Raises:
        InputError: if it is another archive, or the table has unknown names in it.
    """
    if patient_pattern is not None:
        raise InputError("--patient-pattern", [f"{TABLE} has the patients; leave it out"])
    table, folder = find_table(source, TABLE, "3904280")
    rows = read_rows(source, table, COLUMNS, ";", _WHOLE)
    members = {PurePosixPath(name).stem: name for name in pictures(source) if name.startswith(f"{folder}Images/")}
    items: list[Item] = []
    missing: list[tuple[str, str]] = []
    left_out: list[tuple[str, str]] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, row in rows:
        name = row["Image_name"].removesuffix(".png")
        faults = _faults(row, name, seen)
        problems += [f"{TABLE} row {number}: {fault}" for fault in faults]
        seen.add(name)
        if faults:
            continue
        if name not in members:
            missing.append((f"{name}.png", f"row {number} of the table names it, and Images/ has it not; {_WHOLE}"))
        elif row["Plane"] == BRAIN and row["Brain_plane"] == OTHER_BRAIN:
            left_out.append((f"{name}.png", "a brain in none of the three standard planes, which have no class"))
        else:
            label = BRAIN_PLANES[row["Brain_plane"]] if row["Plane"] == BRAIN else PLANES[row["Plane"]]
            items.append(
                Item(members[name], f"{name}.png", label, row["Patient_num"], SPLITS[row["Train"]], row["US_Machine"])
            )
    if problems:
        raise InputError(source.path, problems)
    if not any(name in members for name in seen):
        raise InputError(source.path, [f"none of the {len(rows)} images of {TABLE} is in Images/ beside it; {_WHOLE}"])
    left_out += [(f"{name}.png", "no row of the table names it") for name in sorted(members.keys() - seen)]
    return Plan(
        class_names(),
        tuple(items),
        tuple(missing),
        tuple(left_out),
        published_as="FETAL_PLANES_DB",
        licence="FETAL_PLANES_DB, CC BY 4.0, https://zenodo.org/records/3904280; cite Burgos-Artizzu et al., 2020",
        cropped=True,
    )


def _faults(row: dict[str, str], name: str, seen: set[str]) -> list[str]:
    faults = []
    if not name or "/" in name or "\\" in name or name.startswith("."):
        faults.append(f"Image_name {row['Image_name']!r} is a path or nothing, not a name in Images/; correct it")
    if name in seen:
        faults.append(f"{name} is there twice; keep one of the rows")
    if not row["Patient_num"]:
        faults.append("Patient_num is empty; fill it in")
    if row["Train"] not in SPLITS:
        faults.append(f"Train is {row['Train']!r}, not 1 (train) or 0 (test); correct it")
    if row["Plane"] not in {*PLANES, BRAIN}:
        faults.append(unknown_name("plane", row["Plane"], [*PLANES, BRAIN]))
    elif row["Plane"] == BRAIN and row["Brain_plane"] not in {*BRAIN_PLANES, OTHER_BRAIN}:
        faults.append(unknown_name("brain plane", row["Brain_plane"], [*BRAIN_PLANES, OTHER_BRAIN]))
    return faults
