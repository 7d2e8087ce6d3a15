"""A whole study as a DICOM Structured Report (TID 1500): its stills, the segments of its clips, and its checklist."""

from __future__ import annotations

from collections.abc import Mapping

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from fetal_monai.errors import FetalMonaiError
from fetal_monai.results.codes import item_code, private_code, status_code
from fetal_monai.results.filing import headers_of, hushed
from fetal_monai.results.measurement_groups import image_group, planeless_group, segment_group
from fetal_monai.results.structured_report import report_of_groups
from fetal_monai.study.checklist import Checklist, ItemFinding
from fetal_monai.study.study import Study

_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_SOURCE = Code("260753009", "SCT", "Source")
_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")


def can_be_filed(study: Study) -> bool:
    """Whether a study can have a report: it is one of DICOM, and an image of it could be classified.

    Args:
        study: as it was analysed.

    Returns:
        False for studies of pictures, of DICOM files that name no study, and where every file is among the failures.
    """
    return bool(study.files.study_instance_uid) and any(found.sop_instance_uid for found in study.predictions)


def build_study_report(
    study: Study, checklist: Checklist, headers: Mapping[str, Dataset] | None = None
) -> sr.EnhancedSR:
    """Build the report of a study.

    Args:
        study: one that `can_be_filed`.
        checklist: a protocol held against it.
        headers: of its instances by SOP Instance UID; None reads them from the files.

    Returns:
        An Enhanced SR; `write_report` writes it. It has a measurement group for each still, each segment of a clip and
        each clip without one, and the checklist as its qualitative evaluations, which also say how many files could
        not be read.

    Raises:
        InputError: if a header cannot be read.
        FetalMonaiError: if the study cannot be filed, or a header is missing or lacks what a report needs.
    """
    if not can_be_filed(study):
        raise FetalMonaiError(
            f"{study.files.name}: it names no DICOM study or has no classified image, so no report can be filed; "
            "leave it out, can_be_filed tells"
        )
    by_uid = headers_of([found for found in study.predictions if found.sop_instance_uid], headers)
    with hushed():
        groups = [
            image_group(still, by_uid[still.sop_instance_uid]) for still in study.stills if still.sop_instance_uid
        ]
        for clip in study.clips:
            if header := by_uid.get(clip.sop_instance_uid):
                groups += [segment_group(segment, header) for segment in clip.segments] or [
                    planeless_group(header, study.identity)
                ]
        evaluations = _evaluations(checklist, by_uid, unread=len(study.failures))
        return report_of_groups(groups, list(by_uid.values()), study.identity, evaluations=evaluations)


def _evaluations(checklist: Checklist, headers: Mapping[str, Dataset], *, unread: int) -> sr.ContainerContentItem:
    protocol = checklist.protocol
    container = sr.ContainerContentItem(_QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    texts = {
        ("PROTOCOL", "Protocol that the study is held against"): protocol.title,
        ("PROTOCOL-SOURCE", "Publication that the protocol follows"): protocol.source,
        ("PROTOCOL-REVIEW", "Clinical review of the protocol"): protocol.review,
        ("NOT-READ", "Files that could not be read"): (
            f"{unread}, wholly or in part; what is missing may be in them" if unread else ""
        ),
    }
    container.ContentSequence = sr.ContentSequence(
        [
            *(sr.TextContentItem(private_code(*name), text, _CONTAINS) for name, text in texts.items() if text),
            *(_evaluation(finding, headers) for finding in checklist.findings),
        ]
    )
    return container


def _evaluation(finding: ItemFinding, headers: Mapping[str, Dataset]) -> sr.CodeContentItem:
    """An item and its status; below it what the title says in full, the note, and the image that shows it best."""
    item, concept = finding.item, item_code(finding.item)
    below = list[sr.ContentItem]()
    said = [item.title] if item.title != concept.meaning else []
    said += [item.note] if item.note else []
    if said:
        properties = sr.RelationshipTypeValues.HAS_PROPERTIES
        below.append(sr.TextContentItem(codes.DCM.Comment, ". ".join(said), properties))
    best = None if finding.best is None else finding.best.prediction
    header = None if best is None else headers.get(str(best.sop_instance_uid))
    if best is not None and header is not None:
        frame = None if best.frame < 0 else best.frame + 1
        inferred = sr.RelationshipTypeValues.INFERRED_FROM
        below.append(
            sr.ImageContentItem(
                _SOURCE, str(header.SOPClassUID), str(header.SOPInstanceUID), frame, relationship_type=inferred
            )
        )
    evaluation = sr.CodeContentItem(concept, status_code(finding.status), _CONTAINS)
    if below:
        evaluation.ContentSequence = sr.ContentSequence(below)
    return evaluation
