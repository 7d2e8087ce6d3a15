"""The best images of a study as a DICOM Key Object Selection (TID 2010), for a viewer to open first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.codedict import codes

from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.facts import NOTICE
from fetal_monai.results.filing import (
    SOFTWARE,
    complete_header,
    device_observer,
    headers_of,
    hushed,
    image_name,
    new_instance,
)
from fetal_monai.study.checklist import Candidate, Checklist, ItemFinding, Status
from fetal_monai.study.protocol import Protocol
from fetal_monai.study.study import Study

SERIES_NUMBER = 9902


def build_key_objects(
    study: Study, checklist: Checklist, headers: Mapping[str, Dataset] | None = None
) -> KeyObjectSelectionDocument | None:
    """Select the best image of each item of a protocol that is found or uncertain.

    Args:
        study: of DICOM images.
        checklist: a protocol held against it.
        headers: of its instances by SOP Instance UID; None reads them from the files.

    Returns:
        The selection; `structured_report.write_report` writes it. It refers to instances and, of clips, to the key
        frames, each once. None if there is nothing to select.

    Raises:
        InputError: if a header cannot be read.
        FetalMonaiError: if the study is none of DICOM, or a header is missing or lacks what a reference needs.
    """
    if not study.files.study_instance_uid:
        raise FetalMonaiError(
            f"{study.files.name}: it names no DICOM study, so no key objects can be filed; leave it out"
        )
    chosen = [
        (finding, finding.best)
        for finding in checklist.findings
        if finding.best is not None and finding.best.prediction.sop_instance_uid
    ]
    if not chosen:
        return None
    best = [candidate.prediction for _, candidate in chosen]
    by_uid = headers_of(best, headers)
    images = list(dict.fromkeys((str(found.sop_instance_uid), found.frame) for found in best))
    with hushed():
        return _document(study, checklist, chosen, images, by_uid)


def _document(
    study: Study,
    checklist: Checklist,
    chosen: Sequence[tuple[ItemFinding, Candidate]],
    images: Sequence[tuple[str, int]],
    by_uid: Mapping[str, Dataset],
) -> KeyObjectSelectionDocument:
    content = KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=[_image(by_uid[uid]) for uid, _ in images],
        observer_device_context=device_observer(study.identity),
        description=_description(chosen, by_uid, checklist.protocol),
    )
    for reference, (_, frame) in zip(content.get_references(), images, strict=True):
        if frame >= 0:  # highdicom refers to whole instances only
            reference.ReferencedSOPSequence[0].ReferencedFrameNumber = frame + 1
    evidence = [complete_header(header) for header in by_uid.values()]
    document = KeyObjectSelectionDocument(
        evidence=evidence,
        content=content,
        series_number=SERIES_NUMBER,
        series_description="Best images of planes, research software, not for diagnosis",
        **new_instance(study.identity),
    )
    document.copy_patient_and_study_information(evidence[0])
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence  # TID 2010 has no purpose of reference; highdicom gives one, and needs it
    return document


def _image(header: Dataset) -> Dataset:
    """What highdicom looks at to refer to an instance; one with rows and columns is an image."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    image.Rows = image.Columns = 0
    return image


def _description(
    chosen: Sequence[tuple[ItemFinding, Candidate]], headers: Mapping[str, Dataset], protocol: Protocol
) -> str:
    lines = [f"Best images for the protocol: {protocol.title}. Selected by {SOFTWARE}, not by a reader."]
    for finding, candidate in chosen:
        found = candidate.prediction
        image = image_name(headers[str(found.sop_instance_uid)], found.frame)
        unsure = " (uncertain)" if finding.status is Status.UNCERTAIN else ""
        lines.append(f"{image}: {candidate.plane}{unsure}, for the item: {finding.item.title}")
    return "\r\n".join([*lines, protocol.review, NOTICE])
