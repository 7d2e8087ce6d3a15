"""The table and the page of all studies whose results lie side by side, each in a folder of its own."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from pathlib import Path

from fetal_monai.dicomweb.archive import is_uid
from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.report.study_index import StudyRow, write_study_index
from fetal_monai.results.folder import INDEX_FILE, JSON_FILE, STUDIES_FILE
from fetal_monai.results.study_folder import COLUMNS, StudySummary
from fetal_monai.study.checklist import Status
from fetal_monai.utils.files import atomic_path

_NUMBERS = [field.name for field in fields(StudySummary) if field.type == "int"]


def write_archive_index(out: Path, failures: dict[str, str] | None = None) -> None:
    """Write studies.csv and index.html of all studies whose results are in a folder.

    Args:
        out: with a folder for each study, named by its StudyInstanceUID.
        failures: study -> why it has no results.

    Raises:
        InputError: if they cannot be written, or a table of a study is damaged.
    """
    rows = list[dict[str, str]]()
    failed = [ReadFailure(f"study {uid}", message) for uid, message in (failures or {}).items()]
    for folder in sorted(path for path in out.iterdir() if is_uid(path.name) and (path / JSON_FILE).exists()):
        found = _rows(folder / STUDIES_FILE)
        for row in found:
            report = row["report"] and f"{folder.name}/{row['report']}"
            rows.append({**row, "study": str(len(rows) + 1), "report": report})
        if not all(row["report"] for row in found):  # no page tells why
            unread = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))["failures"]
            failed += [ReadFailure(failure["source"], failure["message"]) for failure in unread]
    try:
        with atomic_path(out / STUDIES_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
        write_study_index([_in_the_index(row) for row in rows], out / INDEX_FILE, failures=failed)
    except OSError as error:
        raise InputError(out, [f"cannot be written: {error.strerror or error}; make room for it"]) from error


def _rows(path: Path) -> list[dict[str, str]]:
    """The table of one folder; it may be damaged, or of another version."""
    remedy = "delete the folder, so that the study is done again"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, strict=True)
            columns, rows = table.fieldnames, list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(path, [f"cannot be read ({type(error).__name__}); {remedy}"]) from None
    whole = all(None not in row and None not in row.values() for row in rows)
    if columns != COLUMNS or not whole or not all(row[name].isdecimal() for row in rows for name in _NUMBERS):
        raise InputError(path, [f"is no table of studies of this version; {remedy}"])
    return rows


def _in_the_index(row: dict[str, str]) -> StudyRow:
    counts = {status: int(row[status.name.lower()]) for status in Status}
    return StudyRow(
        row["name"], row["report"] or None, counts, int(row["stills"]), int(row["clips"]), int(row["failures"])
    )
