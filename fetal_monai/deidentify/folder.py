"""De-identifying a whole folder: which files, where to, and what is left to say."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.deidentify.contact_sheet import PICTURES, draw_pictures, write_contact_sheet
from fetal_monai.deidentify.header import Keep
from fetal_monai.deidentify.instance_writer import Written, write_deidentified
from fetal_monai.deidentify.jpeg_worker import JpegWorker
from fetal_monai.deidentify.kept_pixels import BANNER_FRACTION
from fetal_monai.deidentify.labels import read_labels, rename_labels
from fetal_monai.deidentify.profile import require_package
from fetal_monai.deidentify.pseudonyms import Pseudonyms, read_key, write_private
from fetal_monai.dicom import DicomIndex, IndexEntry, index_dicom
from fetal_monai.dicom.duplicates import ANOTHER_IMAGE, FIND_OUT, namesake
from fetal_monai.dicom.folder_listing import Unreachable
from fetal_monai.dicom.index import DUPLICATE, index_file, remedy
from fetal_monai.errors import DicomReadError, InputError
from fetal_monai.utils.files import atomic_path
from fetal_monai.utils.spreadsheet import cell

DICOM, ANNOTATIONS = "dicom", "annotations.csv"
_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass
class Outcome:
    """What a run did. Names in it are those of the source: they may name patients.

    Args:
        written: the de-identified files.
        failures: ultrasound files that could not be de-identified, and why.
        passed_over: what is no ultrasound image, and why.
        unlabelled: rows of the labels whose file is not known or was not written: row to what is wrong.
        new_key: whether the key file was made.
    """

    written: list[Written] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    unlabelled: dict[int, str] = field(default_factory=dict)
    new_key: bool = False


def deidentify_folder(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    key: str | PathLike[str] | None = None,
    keep: Collection[Keep] = (),
    banner: float = BANNER_FRACTION,
    annotations: str | PathLike[str] | None = None,
    name_map: str | PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """De-identify every ultrasound image below a folder.

    Into `out` go `dicom/STUDY/INSTANCE.dcm`, a contact sheet for the eyes, and `annotations.csv` if there was one.

    Args:
        source: a folder, or one file.
        out: the folder to make; it may exist if it is empty.
        key: a file with a secret, made if it is not there. With the same key the same patient and the same image get
            the same names in every run; without one, nobody can link two runs.
        keep: options of the profile.
        banner: share of the height to blank where no regions leave it out, 0 to 1.
        annotations: a table of labels to rename.
        name_map: a CSV to write old and new names to, outside `out`; it tells who is who.
        progress: called with (files done, files in all).

    Returns:
        What was done.

    Raises:
        InputError: if there is nothing to do, or `out`, `key`, `name_map` or `annotations` cannot be used.
    """
    origin, target = Path(source), Path(out)
    require_package("jpeglib", "jpeglib")
    _check_places(origin, target, {"key": key, "map": name_map})
    labels = None if annotations is None else read_labels(annotations)
    outcome = Outcome()
    index = _indexed(origin)
    entries = _ultrasound(index, outcome)
    if not entries and not outcome.failures:
        problem = f"no ultrasound image among {len(outcome.passed_over)} files; give DICOM files of modality US"
        raise InputError(origin, [problem])
    if annotations is not None:
        _leave_out(Path(annotations), outcome.passed_over)
    secret, outcome.new_key = read_key(key) if key is not None else (None, False)
    pseudonyms = Pseudonyms(secret) if secret is not None else Pseudonyms()
    try:
        shown = _write_all(entries, target, outcome, pseudonyms, keep=keep, banner=banner, progress=progress)
        if outcome.written:
            write_contact_sheet(shown, target)
            if labels is not None:
                lookup = FileLookup(origin if origin.is_dir() else origin.parent, index=index)
                renamed, outcome.unlabelled = rename_labels(labels, lookup, outcome.written, pseudonyms)
                with atomic_path(target / ANNOTATIONS) as temporary:
                    renamed.to_csv(temporary, index=False, encoding="utf-8")
        if name_map is not None:
            write_private(Path(name_map), _names(pseudonyms))
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError(error.filename or target, [f"{cause}; make room for it, or name another place"]) from error
    return outcome


def _check_places(source: Path, out: Path, secrets: dict[str, str | PathLike[str] | None]) -> None:
    """Nothing is written over, nothing into the source, and no secret beside what is handed on."""
    if not source.exists():
        raise InputError(source, ["does not exist; check the spelling"])
    if out.exists() and not out.is_dir():
        raise InputError(out, ["is a file; name a folder to be made"])
    if out.exists() and any(out.iterdir()):
        raise InputError(out, ["is not empty; name a new folder (one --key gives the same names in several)"])
    if out.resolve().is_relative_to(source.resolve()):
        raise InputError(out, ["lies in the source, which stays as it is; name a folder elsewhere"])
    for option, path in secrets.items():
        if path is not None and Path(path).resolve().is_relative_to(out.resolve()):
            raise InputError(path, [f"--{option} would be handed on with {out}; name a file elsewhere"])
    name_map = secrets["map"]
    if name_map is not None and Path(name_map).exists():
        raise InputError(name_map, ["is there already; name another --map"])


def _indexed(source: Path) -> DicomIndex:
    if source.is_dir():
        return index_dicom(source, cache=False)  # a cache would remember the names of patients
    entry = index_file(source)
    if isinstance(entry, str):
        return DicomIndex({}, {str(source): entry})
    return DicomIndex({entry.sop_instance_uid: entry})


def _ultrasound(index: DicomIndex, outcome: Outcome) -> Sequence[IndexEntry]:
    entries = []
    for entry in index.values():
        modality = entry.modality or "unknown"
        if modality in ULTRASOUND_MODALITIES and entry.frames:
            entries.append(entry)
        elif entry.frames:
            outcome.passed_over[entry.path] = f"DICOM images of modality {modality}"
        else:
            outcome.passed_over[entry.path] = f"DICOM of modality {modality} without images"
    for path in index.duplicates:
        if other := namesake(path, index):
            outcome.failures[path] = f"{ANOTHER_IMAGE}, {other}; {FIND_OUT}"
        else:
            outcome.passed_over[path] = DUPLICATE
    for path, reason in index.unreadable.items():
        if isinstance(reason, Unreachable) or Path(path).suffix.lower() in _SUFFIXES:
            outcome.failures[path] = f"{reason}; {remedy(reason, 'copy it again')}"
        else:
            outcome.passed_over[path] = "not DICOM"
    return entries


def _leave_out(labels: Path, passed_over: dict[str, str]) -> None:
    """The table of labels is no image, and not passed over either."""
    for path in [path for path in passed_over if Path(path).name == labels.name]:
        if Path(path).resolve() == labels.resolve():
            del passed_over[path]


def _write_all(
    entries: Sequence[IndexEntry],
    out: Path,
    outcome: Outcome,
    pseudonyms: Pseudonyms,
    *,
    keep: Collection[Keep],
    banner: float,
    progress: Callable[[int, int], None] | None,
) -> list[tuple[Written, Sequence[str]]]:
    shown: list[tuple[Written, Sequence[str]]] = []
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    with JpegWorker() as worker:
        for done, entry in enumerate(entries):
            if progress is not None:
                progress(done, len(entries))
            try:
                written = write_deidentified(entry.path, out / DICOM, pseudonyms, worker, keep=keep, banner=banner)
                shown.append((written, _pictures(written, out)))
                outcome.written.append(written)
            except DicomReadError as error:
                outcome.failures[entry.path] = f"{error.cause}; {error.remedy}"
    if progress is not None:
        progress(len(entries), len(entries))
    return shown


def _pictures(written: Written, out: Path) -> list[str]:
    try:
        return draw_pictures(written, out)
    except DicomReadError:
        written.path.unlink()  # what cannot be looked at is not handed on
        raise


def _names(pseudonyms: Pseudonyms) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "old", "new"])
    writer.writerows((kind, cell(old), new) for (kind, old), new in pseudonyms.given.items())
    return text.getvalue().encode()
