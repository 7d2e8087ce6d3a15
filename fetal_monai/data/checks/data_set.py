"""All checks of a data set, one after the other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from fetal_monai.data.annotations import find_files, read_annotations
from fetal_monai.data.checks.confounding import device_by_class
from fetal_monai.data.checks.duplicates import exact_duplicates, near_duplicates
from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import Listed
from fetal_monai.data.checks.images import Progress, see_images
from fetal_monai.data.checks.leaks import header_leaks
from fetal_monai.data.checks.outliers import outliers
from fetal_monai.data.checks.table import absent_classes, as_findings, table_findings
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.data.frames import ULTRASOUND_MODALITIES, pictures_of
from fetal_monai.data.row_problems import composed, repeated_images
from fetal_monai.data.splits import split_counts
from fetal_monai.dicom import DicomIndex, FrameRef
from fetal_monai.dicom.folder_listing import Unreachable
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import remedy
from fetal_monai.errors import InputError
from fetal_monai.utils.packed_strings import PackedStrings

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
    names = None if class_names is None else [composed(name) for name in class_names]
    plan, findings = _plan(folder, annotations, names, pool)
    seen, unreadable = see_images(plan.listed, plan.files, pixels=pixels, pool=pool, progress=progress)
    findings += unreadable
    findings += [*exact_duplicates(seen), *near_duplicates(seen), *header_leaks(seen)]
    findings += [*outliers(seen), *device_by_class(seen)]
    findings.sort(key=lambda finding: (_ORDER.index(finding.level), finding.rows))
    return DataReport(len(seen) + len(unreadable), pixels, plan.counts, findings, plan.examples)


@dataclass(frozen=True)
class _Plan:
    """What is to be looked at.

    Args:
        listed: the images in the order of their paths.
        files: how many they are of.
        examples: see `DataReport`.
        counts: likewise.
    """

    listed: Iterator[Listed]
    files: int
    examples: dict[str, list[FrameRef]]
    counts: pd.DataFrame | None = None


def _plan(
    folder: str | PathLike[str],
    annotations: str | PathLike[str] | None,
    class_names: Sequence[str] | None,
    pool: Executor | None,
) -> tuple[_Plan, list[Finding]]:
    """Read index and table, and say what is wrong so far. The index, which is large, is gone afterwards."""
    lookup = FileLookup(folder, pool=pool)
    findings = _files_at_fault(lookup.index)
    if annotations is None:
        plan = _all_images(lookup.index)
        if not plan.files and not findings:
            raise InputError(folder, ["no ultrasound image is in it; give the folder with the DICOM files"])
        return plan, findings
    table = read_annotations(annotations)
    findings += table_findings(table, class_names)
    paths, missing = find_files(table, lookup)
    findings += [*as_findings("file", missing), *as_findings("duplicate", repeated_images(table, paths))]
    counts = split_counts(table if "patient_id" in table else table.assign(patient_id=table["row"]))
    findings += absent_classes(counts, class_names)
    findings += _unlisted(lookup.index, paths)
    files = sorted(set(paths.values()))
    found = _with_files(table, paths, files)
    return _Plan(_rows(found, files), len(files), _examples(found, files), counts), findings


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


def _all_images(index: DicomIndex) -> _Plan:
    """All ultrasound frames and pictures; a few of them, evenly taken, are the examples."""
    instances = (
        (entry.path, entry.frames)
        for entry in index.values()
        if entry.modality in ULTRASOUND_MODALITIES and entry.frames
    )
    paths, lengths = PackedStrings(), array("i")
    for path, frames in merge(instances, ((path, 1) for path in pictures_of(index))):
        paths.append(path)
        lengths.append(frames)

    def images() -> Iterator[FrameRef]:
        for path, frames in zip(paths, lengths, strict=True):
            yield from (FrameRef(path, frame) for frame in ([STILL] if frames == 1 else range(frames)))

    examples = list(islice(images(), 0, None, -(-sum(lengths) // EXAMPLES) or 1))
    return _Plan(map(Listed, images()), len(paths), {"": examples} if examples else {})


def _with_files(table: pd.DataFrame, paths: dict[int, str], files: Sequence[str]) -> pd.DataFrame:
    """The rows that have a file, with its number and that of the frame; empty columns in place of missing ones.

    Numbers, because a path need not be UTF-8, which pandas asks of text.
    """
    numbers = {path: number for number, path in enumerate(files)}
    found = table[table["row"].isin(paths)]
    found = found.assign(file=[numbers[paths[row]] for row in found["row"]], frame=found["frame"].astype(int))
    return found.assign(**{name: "" for name in ("patient_id", "device") if name not in found})


def _rows(found: pd.DataFrame, files: Sequence[str]) -> Iterator[Listed]:
    """The images of the rows in the order of their paths and frames."""
    ordered = found.sort_values(["file", "frame"], kind="stable")
    columns = ["file", "frame", "row", "split", "class", "patient_id", "device"]
    return (
        Listed(FrameRef(files[file], frame), *facts) for file, frame, *facts in ordered[columns].itertuples(index=False)
    )


def _examples(found: pd.DataFrame, files: Sequence[str]) -> dict[str, list[FrameRef]]:
    """The first image of each patient, evenly taken from all patients of a class."""
    again = found.duplicated(["class", "patient_id"])
    first = found[~again.where(found["patient_id"] != "", found.duplicated(["class", "file", "frame"]))]
    return {
        str(name): [
            FrameRef(files[file], frame)
            for file, frame in rows[["file", "frame"]].iloc[:: -(-len(rows) // EXAMPLES)].itertuples(index=False)
        ]
        for name, rows in first.groupby("class", sort=False)
    }


def _unlisted(index: DicomIndex, paths: dict[int, str]) -> list[Finding]:
    named = set(paths.values())
    left = (
        entry.path for entry in index.values() if entry.path not in named and entry.modality in ULTRASOUND_MODALITIES
    )
    first = next(left, None)
    if first is None:
        return []
    count = 1 + sum(1 for _ in left)
    files = "1 ultrasound file is" if count == 1 else f"{count} ultrasound files are"
    return [Finding("note", "unlisted", f"{files} not in the table, such as {first}")]
