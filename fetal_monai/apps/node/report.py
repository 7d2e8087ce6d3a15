"""A study's files in, its documents out: the study pipeline, and names that follow from the content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from highdicom import SOPClass
from pydicom import Dataset
from pydicom.uid import UID

from fetal_monai.apps.node.disk import sync
from fetal_monai.apps.node.records import Document
from fetal_monai.errors import InputError
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.predictor import Predictor
from fetal_monai.results.filing import read_headers
from fetal_monai.results.key_objects import build_key_objects
from fetal_monai.results.structured_report import write_report
from fetal_monai.results.study_json import study_to_json
from fetal_monai.results.study_report import build_study_report
from fetal_monai.study.checklist import check
from fetal_monai.study.grouping import group_studies
from fetal_monai.study.protocol import Protocol
from fetal_monai.study.study import analyse_studies
from fetal_monai.utils.files import write_json_lines


@dataclass(frozen=True)
class Job:
    """A study to be reported.

    Args:
        files: of its objects.
        digests: of them, as the queue has them.
        folder: for the documents.
        previous: the report of an earlier version that was sent, if there is one.
    """

    files: tuple[str, ...]
    digests: tuple[str, ...]
    folder: str
    previous: Document | None = None


def report_study(job: Job, predictor: Predictor, protocol: Protocol) -> list[Document]:
    """Predict a study and write its structured report, its key objects if any, and its study.json.

    Args:
        job: the study.
        predictor: the model.
        protocol: whose checklist is held against the study.

    Returns:
        The documents, on the disk, their files relative to the storage folder, two levels above `job.folder`.

    Raises:
        InputError: if nothing of the study can be read.
        FetalMonaiError: if no report can be made.
    """
    found = find_images(job.files)
    groups, unreadable = group_studies(found)
    failures = [*found.failures, *unreadable]
    studies = list(analyse_studies(groups[:1], predictor))
    if not studies or not studies[0].predictions:
        told = [failure.message for failure in (*failures, *(studies[0].failures if studies else ()))]
        raise InputError("study", told or ["it holds no image"])
    study = replace(studies[0], failures=(*failures, *studies[0].failures))
    checklist = check(study, protocol)
    headers = read_headers(study.predictions)
    report = build_study_report(study, checklist, headers)
    selection = build_key_objects(study, checklist, headers)
    # Whatever else is said of the same objects is another report: an archive keeps the first of two that share a UID.
    decisions = replace(predictor.decisions, ood=None)  # its threshold tells it apart
    content = (*sorted(job.digests), *map(repr, (study.identity, decisions, protocol)))
    folder = Path(job.folder)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    made = []
    for name, document in (("report", report), ("key objects", selection)):
        if document is None:
            continue
        uid, series = uid_of(name, *content), uid_of(f"{name}, series", *content)
        document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        document.SeriesInstanceUID = UID(series)
        if name == "report" and job.previous is not None and job.previous.uid != uid:
            document.PredecessorDocumentsSequence = [_reference(report, job.previous)]
        made.append(_write(document, folder))
    summary = folder / f"{made[0].uid}.json"
    write_json_lines(study_to_json(study, checklist), summary)
    for path in (summary, folder, folder.parent, folder.parents[1]):
        sync(path)
    return made


def uid_of(*content: str) -> str:
    """Name something by its content: the same content has the same UID, wherever and whenever it is named.

    Args:
        *content: what it is made of.

    Returns:
        A UID under 2.25 (PS3.5 B.2).

    Example:
        >>> uid_of("report", "a"), uid_of("report", "a") == uid_of("report", "b")
        ('2.25.335356379722499407051712221685218740368', False)
    """
    digest = hashlib.sha256("\n".join(content).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _write(document: SOPClass, folder: Path) -> Document:
    path = folder / f"{document.SOPInstanceUID}.dcm"
    write_report(document, path)
    sync(path)
    file = path.relative_to(folder.parents[1]).as_posix()
    return Document(str(document.SOPInstanceUID), str(document.SeriesInstanceUID), str(document.SOPClassUID), file)


def _reference(report: Dataset, previous: Document) -> Dataset:
    """An earlier report of the same study (PS3.3, Hierarchical SOP Instance Reference Macro)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = previous.sop_class, previous.uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = previous.series, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    return study
