"""Planes from five African countries (Sendra-Balcells et al., Sci Rep 13, 2728, 2023): https://zenodo.org/records/7540448.

Nobody here has seen the archive itself. That its table has these columns, that file names lack their suffix in it, and
that each country counts its patients from 1 is what public programs agree on that read it. A table with other columns
is refused, and names them.
"""

from __future__ import annotations

from fetal_monai.data.importers.plan import Item, Plan, unknown_name
from fetal_monai.data.importers.published_table import find_table, read_rows
from fetal_monai.data.importers.source import Source, is_path_outside, pictures
from fetal_monai.errors import InputError

TABLE = "African_planes_database.csv"
COLUMNS = ("Patient_num", "Filename", "Plane", "Center")
PLANES = {"Fetal abdomen": "Abdomen", "Fetal brain": "Head", "Fetal femur": "Femur", "Fetal thorax": "Thorax"}
CLASSES = ("Abdomen", "Femur", "Thorax", "Head")
_WHOLE = "download the archive again from https://zenodo.org/records/7540448, or import its pictures as `folders`"


def plan_african_planes(source: Source, patient_pattern: str | None = None) -> Plan:
    """Plan the import of the archive: `African_planes_database.csv`, and a folder of pictures for each country.

    The table's own partition is not used: what its numbers mean is not documented. Splits are drawn by patient.

    Args:
        source: the archive, at any depth.
        patient_pattern: none is needed: the table has the patients.

    Returns:
        The plan. A patient is a number in a country; brains are `Head`, for the table does not tell their planes.

    Raises:
        InputError: if it is another archive, or the table has unknown names in it.
    """
    if patient_pattern is not None:
        raise InputError("--patient-pattern", [f"{TABLE} has the patients; leave it out"])
    table, folder = find_table(source, TABLE, "7540448")
    rows = read_rows(source, table, COLUMNS, ",", _WHOLE)
    there = set(pictures(source))
    items: list[Item] = []
    missing: list[tuple[str, str]] = []
    problems: list[str] = []
    named: set[str] = set()
    for number, row in rows:
        title = f"{row['Center']}/{row['Filename'].removesuffix('.png')}.png"
        faults = _faults(row, title, named)
        problems += [f"{TABLE} row {number}: {fault}" for fault in faults]
        named.add(title)
        if faults:
            continue
        if folder + title not in there:
            missing.append((title, f"row {number} of the table names it, and it is not there; {_WHOLE}"))
        else:
            items.append(Item(folder + title, title, PLANES[row["Plane"]], f"{row['Center']} {row['Patient_num']}"))
    if problems:
        raise InputError(source.path, problems)
    if not items:
        raise InputError(source.path, [f"none of the {len(rows)} images of {TABLE} is beside it; {_WHOLE}"])
    titles = {name.removeprefix(folder) for name in there}
    return Plan(
        CLASSES,
        tuple(items),
        tuple(missing),
        tuple((title, "no row of the table names it") for title in sorted(titles - named)),
        published_as="African planes",
        licence="https://zenodo.org/records/7540448, under the licence stated there; cite Sendra-Balcells et al., 2023",
    )


def _faults(row: dict[str, str], title: str, named: set[str]) -> list[str]:
    faults = []
    if not row["Filename"] or not row["Center"] or title.count("/") != 1 or "\\" in title or is_path_outside(title):
        faults.append(f"Center {row['Center']!r} and Filename {row['Filename']!r} name no picture; correct them")
    if title in named:
        faults.append(f"{title} is there twice; keep one of the rows")
    if not row["Patient_num"]:
        faults.append("Patient_num is empty; fill it in")
    if row["Plane"] not in PLANES:
        faults.append(unknown_name("plane", row["Plane"], list(PLANES)))
    return faults
