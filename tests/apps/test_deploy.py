"""The real MONAI Deploy application, run as a person and as a container run it, against `Predictor` and pydicom."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pydicom
import pytest

from deploying import run_python
from fetal_monai.inference import Predictor
from fetal_monai.results.folder import read_schema

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def run(deploy_python, root, studies, label_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("deployed") / "out"
    options = ("-m", "fetal_monai.apps.deploy", "-i", studies[0], "-o", out, "-m", label_model)
    return run_python(deploy_python, root, *options), out


def test_the_results_are_the_predictors(run, studies, label_model):
    done, out = run
    assert done.returncode == 3, done.stderr[-3000:]
    content = json.loads((out / "predictions.json").read_text())
    jsonschema.validate(content, read_schema())
    expected = {
        (found.sop_instance_uid, found.frame): found
        for found in Predictor(label_model, batch_size=3).predict(map(str, studies[1]))
    }
    actual = {(image["sop_instance_uid"], image["frame"]): image for image in content["images"]}
    assert actual.keys() <= expected.keys() == every_frame(studies[1])
    assert {uid for uid, _ in actual} == {uid for uid, _ in expected}
    assert len(content["images"]) == len(actual)
    for key, image in actual.items():
        probabilities = np.array(list(image["probabilities"].values()))
        # float32's own rounding between batches of other sizes: 1.7e-6 was seen
        np.testing.assert_allclose(probabilities, expected[key].probabilities, atol=5e-6)
        assert (image["label"], image["top"]) == (expected[key].label, expected[key].top)
    confidences = [image["confidence"] for image in content["images"]]
    assert np.diff(np.sort(confidences)).min() > 5e-6, "else the comparison could not tell frames apart"


def every_frame(paths: list[Path]) -> set[tuple[str, int]]:
    """What pydicom says is there."""
    frames = set()
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        count = int(header.get("NumberOfFrames", 1))
        frames |= {(header.SOPInstanceUID, index) for index in (range(count) if count > 1 else [-1])}
    return frames


def test_stills_and_clips_were_among_them(studies):
    frames = [frame for _, frame in every_frame(studies[1])]
    assert frames.count(-1) == 4
    assert frames.count(0) == 2
    assert max(frames) >= 7


def test_every_study_has_a_report_that_refers_to_its_frames(run, studies):
    files = list((run[1] / "structured_reports").iterdir())
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in studies[1]]
    assert len(files) == len({header.StudyInstanceUID for header in headers}) == 2
    seen = set()
    for path in files:
        report = pydicom.dcmread(path)
        assert path.name == f"{report.SOPInstanceUID}.dcm"
        assert report.Modality == "SR"
        members = [header for header in headers if header.StudyInstanceUID == report.StudyInstanceUID]
        assert {header.PatientID for header in members} == {report.PatientID}
        references = {reference for item in report.ContentSequence for reference in image_references(item)}
        assert {uid for uid, _ in references} == {header.SOPInstanceUID for header in members}
        seen |= references
    assert seen <= {*every_frame(studies[1]), *((uid, -1) for uid, _ in every_frame(studies[1]))}


def test_two_patients_with_one_study_have_a_report_each(deploy_python, root, studies, label_model, tmp_path):
    stills = [
        path for path in studies[1] if pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames") is None
    ]
    for path in stills:
        data = pydicom.dcmread(path)
        data.StudyInstanceUID = data.SeriesInstanceUID = "1.2.3.4"
        data.save_as(tmp_path / f"{data.SOPInstanceUID}.dcm")
    options = ("-i", tmp_path, "-o", tmp_path / "out", "-m", label_model)
    done = run_python(deploy_python, root, "-m", "fetal_monai.apps.deploy", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in stills]
    reports = [pydicom.dcmread(path) for path in (tmp_path / "out/structured_reports").iterdir()]
    assert {report.PatientID for report in reports} == {header.PatientID for header in headers}
    for report in reports:
        cited = {uid for item in report.ContentSequence for uid, _ in image_references(item)}
        assert cited == {header.SOPInstanceUID for header in headers if header.PatientID == report.PatientID}


def image_references(item: pydicom.Dataset) -> set[tuple[str, int]]:
    found = set()
    if item.ValueType == "IMAGE":
        reference = item.ReferencedSOPSequence[0]
        numbers = np.atleast_1d(reference.get("ReferencedFrameNumber", 0))
        found |= {(reference.ReferencedSOPInstanceUID, int(number) - 1) for number in numbers}
    return found.union(*(image_references(child) for child in item.get("ContentSequence", [])))


def test_what_cannot_be_read_is_named_and_nothing_else_is_said(run, studies):
    done, out = run
    failures = json.loads((out / "predictions.json").read_text())["failures"]
    names = {Path(failure["source"]).name for failure in failures}
    assert names == {"cut in its header.dcm", "cut in its pixels.dcm", "z_again"}
    assert "3 images could not be read" in done.stderr
    assert len(done.stderr.splitlines()) == 4, "a newcomer sees no alarm of the SDK"
    images = json.loads((out / "predictions.json").read_text())["images"]
    assert done.stdout == f"{out}: {len(images)} images in 2 structured reports\n"
    assert "PHANTOM" not in (done.stdout + done.stderr).replace(str(studies[0]), "").replace("DISC/PHANTOM", "")
    names = {path.name for path in out.iterdir()} - {"key_objects"}  # where nothing was found there are none
    assert names == {
        "index.html",
        "predictions.csv",
        "predictions.json",
        "structured_reports",
        "studies",
        "studies.csv",
    }
    assert sorted(path.name for path in (out / "studies/2").iterdir()) == ["report.html", "study.json"]
