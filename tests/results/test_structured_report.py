"""Structured reports: every attribute and code by name, validators that we did not write."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter

import pydicom
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts

from fetal_monai.model import facts
from fetal_monai.results.codes import anatomy_codes, plane_code
from made_predictions import IDENTITY
from report_content import coded, groups, items


def test_it_is_in_the_study_of_its_patient(written, study):
    _, dataset = written
    source = pydicom.dcmread(study[0].path, stop_before_pixels=True)
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
        "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    ):  # fmt: skip
        assert dataset[keyword].value == source[keyword].value, keyword
    series = {pydicom.dcmread(entry.path, stop_before_pixels=True).SeriesInstanceUID for entry in study}
    assert dataset.SeriesInstanceUID not in series
    assert dataset.SOPClassUID.name == "Enhanced SR Storage"
    assert (dataset.Modality, dataset.CompletionFlag) == ("SR", "COMPLETE")
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    template = dataset.ContentTemplateSequence[0]
    assert (template.TemplateIdentifier, template.MappingResource) == ("1500", "DCMR")
    assert dataset.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurement Report"


def test_it_says_who_speaks_and_of_whom(written):
    _, dataset = written
    (subject,) = items(dataset, "121024")
    assert subject.ConceptCodeSequence[0].CodeMeaning == "Fetus"
    (observer,) = items(dataset, "121005")
    assert observer.ConceptCodeSequence[0].CodeMeaning == "Device"
    (name,) = items(dataset, "121013")
    assert "not a medical device" in name.TextValue
    (comment,) = items(dataset, "121106")
    assert comment.TextValue == facts.NOTICE
    assert "research" in dataset.SeriesDescription.lower()
    (first, *_) = groups(dataset)
    assert [item.TextValue for item in items(first, "111001")] == ["fetal_monai DualBranchClassifier"]
    assert [item.TextValue for item in items(first, "111003")] == [IDENTITY.version]
    assert any(IDENTITY.weights_sha256 in item.TextValue for item in items(first, "111002"))


def test_every_image_has_its_group_and_its_frame(written, found, study):
    _, dataset = written
    clips = {entry.sop_instance_uid for entry in study if entry.frames > 1}
    listed = []
    for group in groups(dataset):
        (image,) = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
        (reference,) = image.ReferencedSOPSequence
        frames = reference.get("ReferencedFrameNumber")
        assert (frames is not None) == (reference.ReferencedSOPInstanceUID in clips)
        listed.append((reference.ReferencedSOPInstanceUID, -1 if frames is None else frames - 1))
    assert listed == [(item.sop_instance_uid, item.frame) for item in found]
    evidence = [
        (item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID, series.SeriesInstanceUID)
        for level in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in level.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    sources = [pydicom.dcmread(entry.path, stop_before_pixels=True) for entry in study]
    assert Counter(evidence) == Counter((s.SOPInstanceUID, s.SOPClassUID, s.SeriesInstanceUID) for s in sources)


def test_every_group_says_what_the_prediction_says(written, found):
    _, dataset = written
    for group, item in zip(groups(dataset), found, strict=True):
        plane = "373068000" if item.label is None else plane_code(item.label).value
        assert coded(group, "PLANE") == [plane]
        assert coded(group, "PLANE-LIKELIEST") == ([plane_code(item.top).value] if item.label is None else [])
        assert coded(group, "PLANE-CANDIDATE") == [plane_code(name).value for name in item.conformal_set or ()]
        answer = {None: [], True: ["373066001"], False: ["373067005"]}[item.out_of_distribution]
        assert coded(group, "OUT-OF-DISTRIB") == answer
        sites = [] if item.label is None else [code.value for code in anatomy_codes(item.label)]
        assert coded(group, "363698007") == sites
        (certainty,) = items(group, "111012")
        (value,) = certainty.MeasuredValueSequence
        assert float(value.NumericValue) == 75.0
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "%"
    trackers = [items(group, "112040")[0].UID for group in groups(dataset)]
    assert len(set(trackers)) == len(found)


def test_the_validator_of_dicom3tools_finds_no_error(written):
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: install the package dicom3tools")
    done = subprocess.run(["dciodvfy", str(written[0])], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "<99FETALMONAI>" not in line]
    assert said == ["EnhancedSR"], "nothing but that it does not know the private scheme"


def test_dcmtk_reads_it(written, found):
    if shutil.which("dsrdump") is None:
        pytest.skip("needs dsrdump: install the package dcmtk")
    done = subprocess.run(["dsrdump", "+Pc", "+Pl", str(written[0])], capture_output=True, text=True, check=True)
    assert len(re.findall(r"\(PLANE,99FETALMONAI,", done.stdout)) == len(found)
    assert facts.NOTICE[:40] in done.stdout


def test_the_standard_codes_are_in_the_standard(class_names, root):
    table = yaml.safe_load((root / "fetal_monai/data/plane_codes.yaml").read_text())
    used = {tuple(site) for entry in table["planes"].values() for site in entry["sites"]}
    assert used
    for scheme, value, meaning in used:
        known = [codes[value][0] for codes in concepts[scheme].values() if value in codes]
        assert meaning in known, (scheme, value, meaning)
    listed = yaml.safe_load((root / "bundle/configs/datasets/fetal_planes.yaml").read_text())["class_names"]
    assert set(table["planes"]) == {*class_names, *listed}, "each class of ours, and no other"
    assert len({entry["code"] for entry in table["planes"].values()}) == len(table["planes"])


@given(st.text(min_size=1, max_size=200))
def test_any_class_name_gets_a_lasting_code(name):
    code = plane_code(name)
    assert 0 < len(code.value) <= 16
    assert 0 < len(code.meaning) <= 64
    assert code.scheme_designator == "99FETALMONAI"
    assert (plane_code(name).value, plane_code(name + "!").value != code.value) == (code.value, True)
