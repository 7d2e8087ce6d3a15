"""The real MONAI Deploy application, run as a person and as a container run it, against `Predictor` and pydicom."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.data import get_testdata_file

from fetal_monai.apps.deploy import __main__ as command
from fetal_monai.inference import Predictor
from fetal_monai.results.folder import read_schema

pytestmark = pytest.mark.thorough

SDK = "monai-deploy-app-sdk"
ENVIRONMENT = ".venv-deploy"


@pytest.fixture(scope="module")
def deploy_python(root: Path) -> str:
    """An interpreter that has the SDK: this one, or that of `make deploy`."""
    if any(found.name == SDK for found in importlib.metadata.distributions(name=SDK)):
        return sys.executable
    python = root / ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{SDK} is not installed; `make deploy` installs it")
    return str(python)


def run_python(python: str, root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    call = [python, *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=240, cwd=root, env=environment)


def as_raw_data(source: Path, target: Path) -> None:
    """An instance of an ultrasound series that is no image, as scanners send along."""
    data = pydicom.dcmread(source)
    for keyword in ("PixelData", "Rows", "Columns", "NumberOfFrames"):
        if keyword in data:
            del data[keyword]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    data.save_as(target)


@pytest.fixture(scope="module")
def studies(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Two patients' stills and clips among what else lies on a disc; and the files that can be read, in order."""
    folder = tmp_path_factory.mktemp("studies")
    labels = pd.read_csv(phantom / "annotations.csv", dtype={"SOPInstanceUID": str})
    files = labels.assign(path=[phantom / "dicom" / f"{uid}.dcm" for uid in labels["SOPInstanceUID"]])
    clips = files[files["frame"] != -1].groupby("patient_id").head(1)[:2]
    readable = []
    for patient, clip in zip(clips["patient_id"], clips["path"], strict=True):
        stills = files[(files["patient_id"] == patient) & (files["frame"] == -1)]["path"].tolist()
        below = folder / "DISC" / patient
        below.mkdir(parents=True)
        for number, path in enumerate([clip, *stills[:2]]):
            data = pydicom.dcmread(path)
            data.ImagePositionPatient = [0, 0, 0]  # all at one place, where the SDK's own loader keeps one
            data.save_as(below / f"IM{number:04}")
            readable.append(below / f"IM{number:04}")
    whole = stills[2].read_bytes()
    (folder / "cut in its header.dcm").write_bytes(whole[:300])
    (folder / "cut in its pixels.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    as_raw_data(stills[0], folder / "raw")
    shutil.copy(readable[0], folder / "z_again")  # of an instance that was there before
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / "README.txt").write_text("no image")
    return folder, readable


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


IN_ONE_PROCESS = """
import contextlib, io, json, os, runpy, sys
from fetal_monai.apps.deploy.__main__ import main

results = {}
for name, arguments in json.loads(sys.argv[1]).items():
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            if name == "container":
                folder, variables = arguments
                os.environ.update(variables)
                sys.argv = [folder]
                runpy.run_path(folder, run_name="__main__")
            code = main(arguments)
        except SystemExit as leave:
            code = leave.code
    results[name] = [code, err.getvalue()]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def outcomes(deploy_python, root, studies, label_model, tmp_path_factory):
    """Exit status, messages and output folder of several calls, in one process, since each import takes seconds."""
    base = tmp_path_factory.mktemp("mistakes")
    for name in ("ct", "damaged", "empty"):
        (base / name).mkdir()
    shutil.copy(get_testdata_file("CT_small.dcm"), base / "ct")
    shutil.copy(studies[0] / "cut in its pixels.dcm", base / "damaged")
    no_weights = base / "no_weights"
    no_weights.mkdir()
    shutil.copy(label_model / "model.json", no_weights)
    other = Path(shutil.copytree(label_model, base / "other_classes"))
    facts = json.loads((other / "model.json").read_text())
    facts["network"]["num_classes"] = 3
    (other / "model.json").write_text(json.dumps({**facts, "class_names": ["a", "b", "c"]}))
    used = base / "used"
    used.mkdir()
    (used / "notes.txt").write_text("keep")
    calls = {
        "no ultrasound": (base / "ct", label_model),
        "all damaged": (base / "damaged", label_model),
        "nothing at all": (base / "empty", label_model),
        "no such input": (base / "missing", label_model),
        "no such model": (studies[0], base / "missing"),
        "no weights": (studies[0], no_weights),
        "other classes": (studies[0], other),
        "output in use": (studies[0], label_model),
    }
    out = {name: used if name == "output in use" else base / "out" / name for name in [*calls, "container"]}
    arguments = {name: ["-i", i, "-o", out[name], "-m", m] for name, (i, m) in calls.items()}
    arguments["wrong usage"] = ["--frames", "3"]
    arguments["container"] = in_a_container(base, studies[1][1], label_model, out["container"])
    done = run_python(deploy_python, root, "-c", IN_ONE_PROCESS, json.dumps(arguments, default=str))
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    return {name: (code, text, out.get(name)) for name, (code, text) in results.items()}


def in_a_container(base: Path, still: Path, model: Path, out: Path) -> list[object]:
    """The layout of a MONAI Application Package: a copy of the entry point, models below one folder, variables."""
    app, study = base / "app", base / "study"
    for folder in (app, study, out):  # the output is mounted
        folder.mkdir(parents=True)
    shutil.copy(command.__file__, app)
    shutil.copy(still, study)
    shutil.copytree(model, base / "models" / "fetal_planes")
    folders = {"INPUT": study, "OUTPUT": out, "MODEL": base / "models"}
    return [app, {f"HOLOSCAN_{name}_PATH": path for name, path in folders.items()}]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("no ultrasound", 1, "no ultrasound image"),
        ("all damaged", 1, "cut in its pixels.dcm"),
        ("nothing at all", 1, "no DICOM study among 0 files"),
        ("no such input", 1, "there is no such folder"),
        ("no such model", 1, "a model folder holds model.pt and model.json"),
        ("no weights", 1, "model.pt: 1 problem\n  there is no such file; the model folder is incomplete"),
        ("other classes", 1, "not the weights of this network"),
        ("output in use", 1, "is not empty; name another folder"),
        ("wrong usage", 2, "required: -i/--input, -o/--output"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing_behind(outcomes, name, code, says):
    found, text, out = outcomes[name]
    assert found == code, text
    assert says in text
    assert "Traceback" not in text
    if name == "output in use":
        assert {path.name: path.read_text() for path in out.iterdir()} == {"notes.txt": "keep"}
    else:
        assert out is None or not out.exists()


def test_a_container_runs_by_its_variables(outcomes):
    code, text, out = outcomes["container"]
    assert (code, text) == (0, "")
    assert len(json.loads((out / "predictions.json").read_text())["images"]) == 1
