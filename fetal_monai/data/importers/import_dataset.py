"""Importing a whole data set: files first, each whole or not at all; `annotations.csv` last; a second run goes on."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fetal_monai.data.importers.african_planes import plan_african_planes
from fetal_monai.data.importers.coco import plan_coco
from fetal_monai.data.importers.cvat import plan_cvat
from fetal_monai.data.importers.dicom_image import derive_identity, write_image
from fetal_monai.data.importers.fetal_planes_db import plan_fetal_planes_db
from fetal_monai.data.importers.folders import plan_folders
from fetal_monai.data.importers.hc18 import plan_hc18
from fetal_monai.data.importers.picture import read_picture
from fetal_monai.data.importers.plan import Plan
from fetal_monai.data.importers.source import Source, open_source
from fetal_monai.data.importers.splits import assign_splits
from fetal_monai.dicom.limits import Fault
from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_path, write_json

KINDS: Mapping[str, Callable[[Source, str | None], Plan]] = {
    "fetal-planes-db": plan_fetal_planes_db,
    "african-planes": plan_african_planes,
    "hc18": plan_hc18,
    "folders": plan_folders,
    "coco": plan_coco,
    "cvat": plan_cvat,
}
ANNOTATIONS, CLASSES, RECORD, NOT_IMPORTED = "annotations.csv", "classes.yaml", "import.json", "not_imported.csv"

Row = dict[str, str | int]


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Args:
        rows: of `annotations.csv`.
        class_names: the classes in order.
        written: images written, or in place looked at, by this run; the others were there already.
        failures: images that should be there and are not: name and reason.
        left_out: what was not imported by design: name and reason.
        notes: what a person should know.
        licence: of a public data set; else empty.
    """

    rows: Sequence[Row]
    class_names: tuple[str, ...]
    written: int
    failures: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    licence: str

    def count(self, class_name: str, split: str) -> int:
        """Count the images of a class in a split.

        Args:
            class_name: a class.
            split: train, val or test.

        Returns:
            How many there are.
        """
        return Counter((row["class"], row["split"]) for row in self.rows)[class_name, split]


def import_dataset(
    kind: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    patient_pattern: str | None = None,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    in_place: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportSummary:
    """Turn a data set of pictures into DICOM with labels, ready for training.

    Into `out` go `dicom/UID.dcm` (unless `in_place`), `annotations.csv`, `classes.yaml` (a configuration for
    training), `import.json` and, where something was not imported, `not_imported.csv`. Pixels are those of the source,
    every one.

    Args:
        kind: one of `KINDS`.
        source: a folder or a zip.
        out: the folder to make. It may exist if it is empty, or holds this import, which then goes on.
        patient_pattern: a regular expression that finds the patient in a picture's name.
        val_fraction: the share of images for `val`, where the source does not say.
        test_fraction: the share for `test`, where the source has no splits at all.
        seed: of the draw of patients.
        in_place: write no DICOM: the rows name the pictures where they are, by their paths below `source`, a folder.
        progress: called with (images done, images in all).

    Returns:
        What was done.

    Raises:
        InputError: if the source is not what `kind` says, or `out` holds something else.

    Example:
        >>> import tempfile, cv2, numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("Femur", "Other"):
        ...     (folder / "data" / name).mkdir(parents=True)
        ...     _ = cv2.imwrite(str(folder / "data" / name / "p1.png"), np.zeros((8, 8), np.uint8))
        >>> summary = import_dataset("folders", folder / "data", folder / "out", val_fraction=0, test_fraction=0)
        >>> [(row["class"], row["split"], row["source"]) for row in summary.rows]
        [('Femur', 'train', 'Femur/p1.png'), ('Other', 'train', 'Other/p1.png')]
    """
    if kind not in KINDS:
        raise InputError("import", [f"there is no kind {kind!r}; use {', '.join(KINDS)}"])
    out = Path(out)
    try:
        with open_source(source) as opened:
            plan = KINDS[kind](opened, patient_pattern)
            plan = assign_splits(plan, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
            if in_place and not Path(source).is_dir():
                raise InputError(
                    source, ["pictures in a zip cannot stay where they are; unpack it, and give the folder"]
                )
            _claim(out, Path(source), kind, plan, in_place=in_place)
            rows, damaged, written = _import_images(opened, plan, kind, None if in_place else out / "dicom", progress)
        if not rows:
            raise InputError(source, [f"{name}: {reason}" for name, reason in damaged] or ["no image has a label"])
        failures = (*plan.missing, *damaged)
        _write_lists(out, plan, rows, failures)
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError(error.filename or out, [f"{cause}; make room for it, or name another folder"]) from error
    return ImportSummary(rows, plan.class_names, written, failures, plan.left_out, plan.notes, plan.licence)


def _claim(out: Path, source: Path, kind: str, plan: Plan, *, in_place: bool) -> None:
    """Make the folder this import's own, or see that it already is."""
    record = {"import": kind, "plan": plan.fingerprint(), "images": len(plan.items), "licence": plan.licence}
    record |= {"in_place": True} if in_place else {}
    if out.resolve().is_relative_to(source.resolve()):
        raise InputError(out, ["lies in the source, which stays as it is; name a folder elsewhere"])
    if out.exists() and not out.is_dir():
        raise InputError(out, ["is a file; name a folder to be made"])
    if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
        try:
            found = json.loads((out / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(out, ["holds something other than an import; name another folder"]) from None
        if found != record:
            problem = "holds an import of another source, or with other settings; name another folder"
            raise InputError(out, [problem])
        for left in (out / "dicom").glob(".2.25.*"):  # by a run that was killed while it wrote
            left.unlink()
    write_json(record, out / RECORD)


def _import_images(
    source: Source, plan: Plan, kind: str, folder: Path | None, progress: Callable[[int, int], None] | None
) -> tuple[list[Row], list[tuple[str, str]], int]:
    index = {name: position for position, name in enumerate(plan.class_names)}
    with_device = any(item.device for item in plan.items)
    rows: list[Row] = []
    damaged: list[tuple[str, str]] = []
    written = 0
    for done, item in enumerate(plan.items):
        if progress is not None:
            progress(done, len(plan.items))
        try:
            content = source.read(item.member)
            if folder is None:
                _check_name(source.path / item.member)
            identity = derive_identity(
                kind, item.title, item.patient, content, device=item.device, published_as=plan.published_as
            )
            path = folder and folder / f"{identity.sop_uid}.dcm"
            if path is None or not path.exists():
                picture = read_picture(content)
                written += 1
                if path is not None:
                    write_image(picture, identity, path)
        except Fault as fault:
            damaged.append((item.title, str(fault)))
            continue
        row: Row = {
            **({"file": item.member} if folder is None else {"SOPInstanceUID": str(identity.sop_uid)}),
            "split": item.split,
            "class": item.label,
            "class_int": index[item.label],
            "frame": -1,
            "patient_id": identity.patient_id,
        }
        rows.append(row | ({"device": item.device} if with_device else {}) | ({"source": item.title} if folder else {}))
    if progress is not None:
        progress(len(plan.items), len(plan.items))
    return rows, damaged, written


def _check_name(picture: Path) -> None:
    if not picture.exists():  # it was read by its bytes, which the name for people stands for
        raise Fault("its name is no UTF-8, which a table cannot hold", "rename it, or leave --in-place out")


def _write_lists(out: Path, plan: Plan, rows: Sequence[Row], failures: Iterable[tuple[str, str]]) -> None:
    """Write what belongs to the images, the annotations last: where they are, the import is complete."""
    content = {"class_names": list(plan.class_names), **({"banner_fraction": 0.0} if plan.cropped else {})}
    classes = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    with atomic_path(out / CLASSES) as temporary:
        temporary.write_text(f"# The classes of {ANNOTATIONS}: give this file after the others.\n{classes}", "utf-8")
    lines = [{"source": name, "reason": reason} for name, reason in (*failures, *plan.left_out)]
    if lines:
        _write_csv(out / NOT_IMPORTED, lines)
    else:
        (out / NOT_IMPORTED).unlink(missing_ok=True)
    _write_csv(out / ANNOTATIONS, rows)


def _write_csv(path: Path, rows: Sequence[Mapping[str, str | int]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
