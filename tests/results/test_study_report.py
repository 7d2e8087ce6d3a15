"""The report of a study says what study.json says: read back by highdicom, held to validators that we did not write."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pydicom
import pytest
from highdicom.sr import srread
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference import ReadFailure
from fetal_monai.model.facts import NOTICE
from fetal_monai.results.codes import item_code, plane_code, shortened, status_code
from fetal_monai.results.structured_report import write_report
from fetal_monai.results.study_json import study_to_json
from fetal_monai.results.study_report import build_study_report, can_be_filed
from fetal_monai.study.checklist import Checklist, Status, check
from fetal_monai.study.protocol import load_protocol, protocol_names
from fetal_monai.study.study import Study
from report_content import coded, frames_of, groups, items, references


@pytest.fixture(scope="module")
def report(analysed, tmp_path_factory):
    """The report on disk."""
    path = tmp_path_factory.mktemp("study") / "report.dcm"
    write_report(build_study_report(*analysed), path)
    return path


def number(group, code):
    """Value of a measurement by its code; None where there is none."""
    found = [float(item.value) for item in group.get_measurements() for item in item if item.name.value == code]
    return found[0] if found else None


def values(group, code):
    evaluations = [item for part in group.get_qualitative_evaluations() for item in part]
    return [item.value.value for item in evaluations if item.name.value == code]


def test_it_says_what_study_json_says(report, analysed, class_names):
    content = study_to_json(*analysed)
    planes = {plane_code(name).value: name for name in class_names} | {"373068000": None}
    answers = {"373066001": True, "373067005": False}
    stills, segments = [], []
    for group in srread(report).content.get_image_measurement_groups():
        (image,) = group.source_images
        frames = image.referenced_frame_numbers
        certainty = number(group, "111012") / 100
        doubts = {
            "conformal_set": [planes[code] for code in values(group, "PLANE-CANDIDATE")] or None,
            "out_of_distribution": next(map(answers.get, values(group, "OUT-OF-DISTRIB")), None),
        }
        (plane,) = map(planes.get, values(group, "PLANE"))
        uid = str(image.referenced_sop_instance_uid)
        if frames is None:
            top = next(map(planes.get, values(group, "PLANE-LIKELIEST")), plane)
            stills.append({"uid": uid, "label": plane, "top": top, "confidence": round(certainty, 4), **doubts})
            continue
        (label,) = map(planes.get, values(group, "KEY-FRAME-PLANE"))
        segments.append(
            {
                "uid": uid,
                "frames": [frame - 1 for frame in frames],
                "plane": plane,
                "confidence": round(certainty, 4),
                "start": number(group, "SEGMENT-BEGIN"),
                "end": number(group, "SEGMENT-END"),
                "key_frame": number(group, "KEY-FRAME") - 1,
                "label": label,
                "certain": label == plane and doubts["out_of_distribution"] is not True,
                **doubts,
            }
        )
    doubtful = ("conformal_set", "out_of_distribution")
    assert stills == [
        {
            "uid": still["sop_instance_uid"],
            **{key: still[key] for key in ("label", "top", *doubtful)},
            "confidence": round(still["confidence"], 4),
        }
        for still in content["stills"]
    ]
    assert segments == [
        {
            "uid": clip["sop_instance_uid"],
            "frames": list(range(part["first_frame"], part["last_frame"] + 1)),
            "plane": part["plane"],
            "confidence": part["confidence"],
            "start": part["start_seconds"],
            "end": part["end_seconds"],
            "key_frame": part["key_frame"]["frame"],
            "certain": part["certain"],
            **{key: part["key_frame"][key] for key in ("label", *doubtful)},
        }
        for clip in content["clips"]
        for part in clip["segments"]
    ]


def test_the_checklist_is_what_study_json_says(report, analysed):
    study, checklist = analysed
    content = study_to_json(study, checklist)
    (container,) = items(pydicom.dcmread(report), "C0034375")
    ids = {item_code(found.item).value: found.item.id for found in checklist.findings}
    assert len(ids) == len(checklist.findings), "each item has a code of its own"
    said = [item for item in container.ContentSequence if item.ValueType == "CODE"]
    listed = [
        (ids[item.ConceptNameCodeSequence[0].CodeValue], item.ConceptCodeSequence[0].CodeMeaning) for item in said
    ]
    assert listed == [(item["id"], item["status"]) for item in content["checklist"]]
    assert {status for _, status in listed} == {status.value for status in Status}
    for item, expected in zip(said, content["checklist"], strict=True):
        best = [(found.ReferencedSOPInstanceUID, frames_of(found)) for found in references(item)]
        wanted = expected["best"]
        frames = None if wanted is None or wanted["frame"] < 0 else [wanted["frame"]]
        assert best == ([] if wanted is None else [(wanted["sop_instance_uid"], frames)])
        meaning = item.ConceptNameCodeSequence[0].CodeMeaning
        below = " ".join(found.TextValue for found in items(item, "121106"))
        assert expected["title"] in (meaning, below.partition(". ")[0])
        assert expected["note"] in below
    for code, key in (("PROTOCOL", "title"), ("PROTOCOL-SOURCE", "source"), ("PROTOCOL-REVIEW", "review")):
        assert [item.TextValue for item in items(container, code)] == [content["protocol"][key]]
    assert "needs clinical review" in content["protocol"]["review"]


def test_each_segment_is_named_and_shows_its_key_frame(report, analysed):
    study, _ = analysed
    dataset = pydicom.dcmread(report)
    of_clips = groups(dataset)[len(study.stills) :]
    segments = [(clip, segment) for clip in study.clips for segment in clip.segments]
    for group, (clip, segment) in zip(of_clips, segments, strict=True):
        image = pydicom.dcmread(clip.source, stop_before_pixels=True).InstanceNumber
        first, last = segment.first + 1, segment.last + 1
        frames = f"frame {first}" if first == last else f"frames {first} to {last}"
        assert items(group, "112039")[0].TextValue == f"image {image}, {frames}"
        (key,) = items(group, "KEY-FRAME")
        assert [(found.ReferencedSOPInstanceUID, frames_of(found)) for found in references(key)] == [
            (clip.sop_instance_uid, [segment.key_frame.frame])
        ]
    (comment,) = items(dataset, "121106")
    assert comment.TextValue == NOTICE
    assert dataset.StudyInstanceUID == study.files.study_instance_uid
    assert (dataset.SeriesNumber, dataset.PreliminaryFlag) == (9901, "PRELIMINARY")


def test_the_validator_of_dicom3tools_finds_no_error(report):
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: install the package dicom3tools")
    done = subprocess.run(["dciodvfy", str(report)], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "<99FETALMONAI>" not in line]
    assert said == ["EnhancedSR"], "nothing but that it does not know the private scheme"


def test_dcmtk_reads_it(report, analysed):
    if shutil.which("dsrdump") is None:
        pytest.skip("needs dsrdump: install the package dcmtk")
    study, checklist = analysed
    done = subprocess.run(["dsrdump", "+Pc", "+Pl", str(report)], capture_output=True, text=True, check=True)
    warned = [
        line for line in done.stderr.splitlines() if "not support" not in line and "not yet supported" not in line
    ]
    assert warned == [], "such as relations that the IOD does not allow"
    images = len(study.stills) + sum(len(clip.segments) for clip in study.clips)
    assert len(re.findall(r"\(PLANE,99FETALMONAI,", done.stdout)) == images
    for status in Status:
        assert done.stdout.count(f"({status_code(status).value},99FETALMONAI,") == checklist.count(status)


def test_every_reference_resolves_in_orthanc(orthanc, report, study):
    orthanc.store(report, *(entry.path for entry in study))
    assert orthanc.modalities() == {"SR", "US"}
    dataset = pydicom.dcmread(report)
    referred = {reference.ReferencedSOPInstanceUID for reference in references(dataset)}
    assert referred == {entry.sop_instance_uid for entry in study}
    for reference in references(dataset):
        orthanc.resolve(reference)


def test_a_clip_without_a_plane_is_told(analysed, tmp_path):
    study, checklist = analysed
    empty = replace(study, stills=(), clips=(replace(study.clips[0], segments=()),))
    checklist = check(empty, checklist.protocol)
    write_report(build_study_report(empty, checklist), tmp_path / "report.dcm")
    (group,) = groups(pydicom.dcmread(tmp_path / "report.dcm"))
    assert coded(group, "PLANE") == ["NO-PLANE"]
    (reference,) = references(group)
    assert (reference.ReferencedSOPInstanceUID, frames_of(reference)) == (study.clips[0].sop_instance_uid, None)


def test_what_could_not_be_read_is_told_without_names(analysed, tmp_path):
    study, checklist = analysed
    failed = replace(study, failures=(ReadFailure("DOE.dcm", "DOE.dcm: it is cut off"),) * 2)
    for one, told in ((study, []), (failed, ["2, wholly or in part; what is missing may be in them"])):
        write_report(build_study_report(one, checklist), tmp_path / "report.dcm")
        data = pydicom.dcmread(tmp_path / "report.dcm")
        (container,) = items(data, "C0034375")
        assert [item.TextValue for item in items(container, "NOT-READ")] == told
        assert "DOE" not in str(data)


def test_a_very_long_segment_can_be_written(analysed, tmp_path):
    study, checklist = analysed
    clip = study.clips[1]
    long = replace(clip, segments=(replace(clip.segments[0], first=0, last=19_999),))
    write_report(build_study_report(replace(study, clips=(long,)), checklist), tmp_path / "report.dcm")
    *_, group = groups(pydicom.dcmread(tmp_path / "report.dcm"))
    images = [item.ReferencedSOPSequence[0] for item in group.ContentSequence if item.ValueType == "IMAGE"]
    assert [frame for image in images for frame in frames_of(image)] == list(range(20_000))
    assert all(image["ReferencedFrameNumber"].VR == "IS" for image in images)


def test_what_cannot_be_filed_is_said(analysed):
    study, checklist = analysed
    pictures = replace(study, files=replace(study.files, study_instance_uid=None))
    failed = Study(study.files, study.class_names, study.identity, (), ())
    assert [can_be_filed(one) for one in (study, pictures, failed)] == [True, False, False]
    for one in (pictures, failed):
        with pytest.raises(FetalMonaiError, match="leave it out"):
            build_study_report(one, checklist)
    with pytest.raises(FetalMonaiError, match="not among those given"):
        build_study_report(study, checklist, {})


def test_headers_that_are_given_are_not_read_again(analysed):
    study, checklist = analysed
    headers = {
        found.sop_instance_uid: pydicom.dcmread(found.source, stop_before_pixels=True) for found in study.predictions
    }
    gone = replace(study, stills=tuple(replace(still, source="gone.dcm") for still in study.stills))
    another = pydicom.Dataset()  # of a study that is nobody's business here
    report = build_study_report(gone, checklist, {**headers, "1.2": another})
    assert len(groups(report)) == len(groups(build_study_report(study, checklist)))


def test_items_of_our_protocols_have_codes_of_their_own():
    every = [item for name in protocol_names() for item in load_protocol(name).items]
    assert len({item_code(item).value for item in every}) == len({(item.id, item.title) for item in every})
    assert len({status_code(status).value for status in Status}) == len(Status)


@given(st.text(min_size=1, max_size=200))
def test_any_title_fits_the_meaning_of_a_code(title):
    meaning = shortened(title)
    assert 0 < len(meaning) <= 64
    assert "\\" not in meaning
    assert meaning.isprintable() or not title.isprintable()
    assert len(title) > 64 or "\\" in title or not title.isprintable() or meaning == title


def test_a_checklist_without_texts_and_items(analysed):
    study, checklist = analysed
    bare = Checklist(replace(checklist.protocol, review="", source=""), checklist.findings[:1])
    (container,) = items(build_study_report(study, bare), "C0034375")
    assert [item.ValueType for item in container.ContentSequence] == ["TEXT", "CODE"]
