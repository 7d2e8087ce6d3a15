"""Key objects: the best images of a study, in a form that archives and validators accept."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pydicom
import pytest
from highdicom.ko import KeyObjectSelectionDocument

from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.facts import NOTICE
from fetal_monai.results.key_objects import build_key_objects
from fetal_monai.results.structured_report import write_report
from fetal_monai.results.study_json import study_to_json
from fetal_monai.study.checklist import check
from report_content import frames_of, items, references


@pytest.fixture(scope="module")
def selection(analysed, tmp_path_factory):
    """The selection on disk."""
    path = tmp_path_factory.mktemp("keys") / "keys.dcm"
    write_report(build_key_objects(*analysed), path)
    return path


def test_it_selects_the_best_image_of_each_item(selection, analysed):
    best = [item["best"] for item in study_to_json(*analysed)["checklist"] if item["best"] is not None]
    wanted = dict.fromkeys((one["sop_instance_uid"], one["frame"]) for one in best)
    assert {frame >= 0 for _, frame in wanted} == {True, False}, "stills and frames of clips"
    read = KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(selection))
    found = [
        (str(item.referenced_sop_instance_uid), (item.referenced_frame_numbers or [0])[0] - 1)
        for item in read.content.get_references()
    ]
    assert found == list(wanted)
    listed = {
        item.ReferencedSOPInstanceUID
        for level in read.CurrentRequestedProcedureEvidenceSequence
        for series in level.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {uid for uid, _ in wanted}, "what is selected, and no more"


def test_it_is_in_the_study_of_its_patient_and_says_what_it_is(selection, analysed):
    study, checklist = analysed
    dataset = pydicom.dcmread(selection)
    source = pydicom.dcmread(study.stills[0].source, stop_before_pixels=True)
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
        "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    ):  # fmt: skip
        assert dataset[keyword].value == source[keyword].value, keyword
    assert (dataset.Modality, dataset.SeriesNumber) == ("KO", 9902)
    assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
    assert dataset.ConceptNameCodeSequence[0].CodeMeaning == "Of Interest"
    assert "not a medical device" in items(dataset, "121013")[0].TextValue
    (description,) = items(dataset, "113012")
    text = description.TextValue
    assert NOTICE in text
    assert checklist.protocol.review in text
    for finding in checklist.findings:
        if finding.best is not None:
            number = pydicom.dcmread(finding.best.prediction.source, stop_before_pixels=True).InstanceNumber
            frame = finding.best.prediction.frame
            image = f"image {number}" if frame < 0 else f"image {number}, frame {frame + 1}"
            unsure = " (uncertain)" if finding.status.value == "uncertain" else ""
            assert f"{image}: {finding.best.plane}{unsure}, for the item: {finding.item.title}" in text


def test_an_image_that_shows_two_items_is_selected_once(analysed):
    study, checklist = analysed
    twice = replace(checklist, findings=checklist.findings * 2)
    once = list(references(build_key_objects(study, checklist)))
    assert list(references(build_key_objects(study, twice))) == once


def test_validators_find_no_error(selection):
    if shutil.which("dciodvfy") is None or shutil.which("dsrdump") is None:
        pytest.skip("needs dciodvfy and dsrdump: install the packages dicom3tools and dcmtk")
    done = subprocess.run(["dciodvfy", str(selection)], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).splitlines() == ["KeyObjectSelectionDocument"]
    done = subprocess.run(["dsrdump", "+Pc", "+Pl", str(selection)], capture_output=True, text=True, check=True)
    warned = [
        line for line in done.stderr.splitlines() if "not support" not in line and "not yet supported" not in line
    ]
    assert warned == [], "such as relations that the IOD does not allow"
    assert done.stdout.count("IMAGE") == len(list(references(pydicom.dcmread(selection))))


def test_every_reference_resolves_in_orthanc(orthanc, selection, study):
    orthanc.store(selection, *(entry.path for entry in study))
    assert orthanc.modalities() == {"KO", "US"}
    for reference in references(pydicom.dcmread(selection)):
        orthanc.resolve(reference)


def test_there_may_be_nothing_to_select(analysed):
    study, checklist = analysed
    none = replace(study, stills=(), clips=())
    assert build_key_objects(none, check(none, checklist.protocol)) is None


def test_what_cannot_be_filed_is_said(analysed):
    study, checklist = analysed
    pictures = replace(study, files=replace(study.files, study_instance_uid=None))
    with pytest.raises(FetalMonaiError, match="leave it out"):
        build_key_objects(pictures, checklist)
    with pytest.raises(FetalMonaiError, match="not among those given"):
        build_key_objects(study, checklist, {})


def test_a_poor_header_is_enough(analysed, tmp_path):
    study, checklist = analysed
    headers = {}
    for found in study.predictions:
        full = pydicom.dcmread(found.source, stop_before_pixels=True)
        poor = headers[found.sop_instance_uid] = pydicom.Dataset()
        for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            poor[keyword] = full[keyword]
    write_report(build_key_objects(study, checklist, headers), tmp_path / "keys.dcm")
    dataset = pydicom.dcmread(tmp_path / "keys.dcm")
    assert dataset.PatientID == ""
    images = [item for item in dataset.ContentSequence if "ReferencedSOPSequence" in item]
    assert {item.ValueType for item in images} == {"IMAGE"}
    assert not any("ConceptNameCodeSequence" in item for item in images), "TID 2010 has no purpose of reference"
    assert any(frames_of(reference) for reference in references(dataset))
