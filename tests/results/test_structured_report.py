"""Structured reports: every attribute and code by name, validators that we did not write, references that resolve."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sr._concepts_dict import concepts

from fetal_monai.dicom import index_dicom
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference import ModelIdentity, Prediction
from fetal_monai.model import facts
from fetal_monai.results import structured_report as reports
from fetal_monai.results.structured_report import anatomy_codes, build_report, build_reports, plane_code, write_report

IDENTITY = ModelIdentity("DualBranchClassifier", "0.1.0+abcdef012345", "ab" * 32, "cd" * 32, "0.1.0")


def predicted(entry, class_names, frame=-1, top=0, **changes):
    """What a model might say of an image."""
    probabilities = np.full(len(class_names), 0.25 / (len(class_names) - 1))
    probabilities[top] = 0.75
    label = changes.pop("label", class_names[top])
    found = Prediction(entry.path, entry.sop_instance_uid, frame, probabilities, tuple(class_names), label, IDENTITY)
    return replace(found, **changes)


@pytest.fixture(scope="module")
def study(phantom):
    """One study of the phantom with stills and a clip: its index entries."""
    entries = list(index_dicom(phantom).values())
    with_clip = next(entry.study for entry in entries if entry.frames > 1)
    return [entry for entry in entries if entry.study == with_clip]


@pytest.fixture(scope="module")
def found(study, class_names):
    """Every image of the study, with all that a prediction can hold."""
    images = [(entry, k) for entry in study for k in (range(entry.frames) if entry.frames > 1 else [-1])]
    many = [predicted(entry, class_names, k, top=n % 16) for n, (entry, k) in enumerate(images)]
    many[0] = replace(many[0], label=None, conformal_set=(class_names[0], class_names[3]))
    many[1] = replace(many[1], conformal_set=(class_names[1],), ood_score=2.5, out_of_distribution=True)
    many[2] = replace(many[2], ood_score=0.5, out_of_distribution=False)
    return many


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    """The report, read back by pydicom alone."""
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    (report,) = build_reports(found)
    write_report(report, path)
    return path, pydicom.dcmread(path)


def items(node, code):
    """Content items below a node by the code value of their concept name."""
    return [
        item
        for item in node.get("ContentSequence", ())
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code
    ]


def groups(dataset):
    (measurements,) = items(dataset, "126010")
    return items(measurements, "125007")


def coded(group, code):
    return [item.ConceptCodeSequence[0].CodeValue for item in items(group, code)]


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
    assert comment.TextValue == reports.NOTICE == facts.NOTICE
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
    assert reports.NOTICE[:40] in done.stdout


def test_the_standard_codes_are_in_the_standard(class_names, root):
    table = yaml.safe_load((root / "fetal_monai/results/plane_codes.yaml").read_text())
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


def test_one_report_per_study(phantom, class_names):
    entries = list(index_dicom(phantom).values())[:12]
    frames = [0 if entry.frames > 1 else -1 for entry in entries]
    many = [predicted(entry, class_names, frame) for entry, frame in zip(entries, frames, strict=True)]
    picture = replace(many[0], source="a.png", sop_instance_uid=None)
    made = list(build_reports([picture, *many]))
    assert [report.StudyInstanceUID for report in made] == list(dict.fromkeys(entry.study for entry in entries))
    assert sum(len(groups(report)) for report in made) == len(many)
    assert len({report.SOPInstanceUID for report in made}) == len(made) > 1
    assert list(build_reports([picture])) == []


def minimal(entry):
    """No more than what makes an image an instance of a study."""
    full = pydicom.dcmread(entry.path, stop_before_pixels=True)
    header = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        header[keyword] = full[keyword]
    return header


def test_a_poor_header_is_enough(study, class_names, tmp_path):
    header = minimal(study[0])
    write_report(build_report([predicted(study[0], class_names)], [header]), tmp_path / "poor.dcm")
    assert pydicom.dcmread(tmp_path / "poor.dcm").PatientID == ""
    header.PatientSex, header.PatientBirthDate = "W", ""  # no value of the standard
    assert build_report([predicted(study[0], class_names)], [header]).PatientSex == ""


def test_names_keep_their_letters(study, class_names, tmp_path):
    header = minimal(study[0])
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName = "Müller^Zoë"
    header.StudyDescription = "Größe"
    header.save_as(tmp_path / "latin.dcm", implicit_vr=False, little_endian=True)
    source = pydicom.dcmread(tmp_path / "latin.dcm", force=True)
    write_report(build_report([predicted(study[0], class_names)], [source]), tmp_path / "report.dcm")
    found = pydicom.dcmread(tmp_path / "report.dcm")
    assert (str(found.PatientName), found.StudyDescription) == ("Müller^Zoë", "Größe")
    assert found.SpecificCharacterSet == "ISO_IR 192"


def test_what_cannot_be_filed_is_said(study, phantom, class_names, tmp_path):
    item = predicted(study[0], class_names)
    with pytest.raises(FetalMonaiError, match="at least one"):
        build_report([], [])
    with pytest.raises(FetalMonaiError, match="not among those given"):
        build_report([item], [])
    nameless = minimal(study[0])
    del nameless.SeriesInstanceUID
    with pytest.raises(FetalMonaiError, match="no SeriesInstanceUID"):
        build_report([item], [nameless])
    other = next(entry for entry in index_dicom(phantom).values() if entry.study != study[0].study)
    with pytest.raises(FetalMonaiError, match="several studies"):
        build_report([item], [minimal(study[0]), minimal(other)])
    with pytest.raises(InputError, match="cannot be read for the report"):
        list(build_reports([replace(item, source=str(tmp_path / "gone.dcm"))]))
    homeless = minimal(study[0])
    del homeless.StudyInstanceUID
    with pytest.raises(FetalMonaiError, match="names no study"):
        list(build_reports([item], {item.sop_instance_uid: homeless}))


class Orthanc:
    """A real archive on loopback."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = {
            "HttpPort": port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [],
        }
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{port}"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)

    def ask(self, path, data=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data=data), timeout=20) as answer:
            return json.load(answer)

    def wait(self):
        for _ in range(300):
            try:
                return self.ask("/system")
            except OSError:
                assert self.process.poll() is None, "Orthanc ended"
                time.sleep(0.1)
        raise AssertionError("Orthanc does not answer")


@pytest.fixture
def orthanc(tmp_path):
    if shutil.which("Orthanc") is None:
        pytest.skip("needs Orthanc: install the package orthanc")
    server = Orthanc(tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)


def test_every_reference_resolves_in_orthanc(orthanc, written, study, found):
    path, dataset = written
    for name in (path, *(entry.path for entry in study)):
        with open(name, "rb") as file:  # noqa: PTH123
            assert orthanc.ask("/instances", file.read())["Status"] == "Success"
    (archived,) = orthanc.ask("/studies")
    assert "SR" in {
        orthanc.ask(f"/series/{s}")["MainDicomTags"]["Modality"] for s in orthanc.ask(f"/studies/{archived}")["Series"]
    }
    resolved = 0
    for group in groups(dataset):
        (image,) = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
        (reference,) = image.ReferencedSOPSequence
        (hit,) = orthanc.ask("/tools/lookup", reference.ReferencedSOPInstanceUID.encode())
        tags = orthanc.ask(f"/instances/{hit['ID']}/simplified-tags")
        assert tags["SOPClassUID"] == reference.ReferencedSOPClassUID
        frames = orthanc.ask(f"/instances/{hit['ID']}/frames")
        assert int(reference.get("ReferencedFrameNumber", 1)) - 1 in map(int, frames)
        resolved += 1
    assert resolved == len(found)
