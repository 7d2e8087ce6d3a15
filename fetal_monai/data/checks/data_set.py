"""All checks of a data set, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from fetal_monai.data.annotations import find_files, read_annotations
from fetal_monai.data.checks.confounding import device_by_class
from fetal_monai.data.checks.duplicates import exact_duplicates, near_duplicates
from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.images import Listed, Progress, see_images
from fetal_monai.data.checks.leaks import header_leaks
from fetal_monai.data.checks.outliers import outliers
from fetal_monai.data.checks.table import absent_classes, as_findings, table_findings
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.data.frames import ULTRASOUND_MODALITIES, pictures_of
from fetal_monai.data.splits import split_counts
from fetal_monai.dicom import DicomIndex, FrameRef
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import Unreachable, remedy
from fetal_monai.errors import InputError

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
EXAMPLES = 6
"""The most images of a class that a report shows."""
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class DataReport:
    """What is to be said of a data set.

    Args:
        images: how many were looked at.
        pixels: whether they were decoded.
        counts: images of each class, images and patients, per split; None without a table.
        findings: errors first.
        examples: a few images of each class, of different patients where there are; of none, without a table.
    """

    images: int
    pixels: bool
    counts: pd.DataFrame | None
    findings: list[Finding]
    examples: dict[str, list[FrameRef]] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether nothing should stop a training."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """All of it, for `utils.files.write_json`."""
        counts = None if self.counts is None else {split: self.counts[split].to_dict() for split in self.counts.columns}
        return {
            "format": 1,
            "fine": self.fine,
            "images": self.images,
            "pixels_decoded": self.pixels,
            "counts": counts,
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_data(
    folder: str | PathLike[str],
    annotations: str | PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    *,
    pixels: bool = False,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Find everything that is wrong with a data set.

    Args:
        folder: where the DICOM files are.
        annotations: the table of labels; without it all ultrasound frames of the folder are looked at.
        class_names: the classes in order; without them the table is held to itself.
        pixels: whether to decode every image, for images that cannot be, that look the same, or show nothing.
        pool: processes that share the work where there are many files.
        progress: is told how many files are done, and of how many.

    Returns:
        The report.

    Raises:
        InputError: if there is no such folder or nothing in it, or the table cannot be read as one.
    """
    lookup = FileLookup(folder, pool=pool)
    findings = _files_at_fault(lookup.index)
    table = None if annotations is None else read_annotations(annotations)
    counts = None
    if table is None:
        listed = _all_frames(lookup.index)
        if not listed and not findings:
            raise InputError(folder, ["no ultrasound image is in it; give the folder with the DICOM files"])
    else:
        findings += table_findings(table, class_names)
        paths, missing = find_files(table, lookup)
        findings += as_findings("file", missing)
        listed = _rows(table, paths)
        counts = split_counts(table if "patient_id" in table else table.assign(patient_id=table["row"]))
        findings += absent_classes(counts)
        findings += _unlisted(lookup.index, paths)
    seen, unreadable = see_images(listed, pixels=pixels, pool=pool, progress=progress)
    findings += unreadable
    findings += [*exact_duplicates(seen), *near_duplicates(seen), *header_leaks(seen)]
    findings += [*outliers(seen), *device_by_class(seen)]
    findings.sort(key=lambda finding: (_ORDER.index(finding.level), finding.rows))
    return DataReport(len(listed), pixels, counts, findings, _examples(listed))


def _files_at_fault(index: DicomIndex) -> list[Finding]:
    """Files that are meant to be DICOM and are not, or that repeat another; and what nobody can look into."""
    findings = [
        Finding(
            "error" if isinstance(reason, Unreachable) else "warning",
            "unreadable",
            f"{path}: {reason}; {remedy(reason, 'copy it again, or remove it')}",
        )
        for path, reason in index.unreadable.items()
        if reason != "this is not a DICOM file" or Path(path).suffix.lower() in _DICOM_SUFFIXES
    ]
    return findings + [
        Finding("warning", "repeated_uid", f"{path} has the SOPInstanceUID of another file; remove one of them")
        for path in index.duplicates
    ]


def _all_frames(index: DicomIndex) -> list[Listed]:
    frames = [
        Listed(FrameRef(entry.path, frame))
        for entry in index.values()
        if entry.modality in ULTRASOUND_MODALITIES
        for frame in ([STILL] if entry.frames == 1 else range(entry.frames))
    ]
    return frames + [Listed(FrameRef(path)) for path in pictures_of(index)]


def _rows(table: pd.DataFrame, paths: dict[int, str]) -> list[Listed]:
    return [
        Listed(
            FrameRef(paths[record["row"]], int(record["frame"])),
            record["row"],
            record["split"],
            record["class"],
            record.get("patient_id", ""),
            record.get("device", ""),
        )
        for record in table.to_dict("records")
        if record["row"] in paths
    ]


def _examples(listed: Sequence[Listed]) -> dict[str, list[FrameRef]]:
    """The first image of each patient, evenly taken from all patients of a class."""
    first: dict[str, dict[str, FrameRef]] = {}
    for each in listed:
        first.setdefault(each.label, {}).setdefault(each.patient or str(each.image), each.image)
    chosen = {label: list(images.values()) for label, images in first.items()}
    return {label: images[:: -(-len(images) // EXAMPLES)] for label, images in chosen.items()}


def _unlisted(index: DicomIndex, paths: dict[int, str]) -> list[Finding]:
    named = set(paths.values())
    left = [entry for entry in index.values() if entry.path not in named and entry.modality in ULTRASOUND_MODALITIES]
    if not left:
        return []
    return [Finding("note", "unlisted", f"{len(left)} ultrasound files are not in the table, such as {left[0].path}")]
