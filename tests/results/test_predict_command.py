"""`fetal-monai predict`: whole results or none, bad files listed, exit codes as documented."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.inference.discover import find_images
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.results import study_folder
from fetal_monai.results.folder import _OURS as OURS
from fetal_monai.results.folder import read_schema
from fetal_monai.results.predict_to_folder import predict_to_folder


@pytest.fixture(scope="module")
def mixed(phantom, tmp_path_factory):
    """Two studies with a still and a clip, a picture, and what people leave in folders."""
    folder = tmp_path_factory.mktemp("mixed")
    entries = list(index_dicom(phantom).values())
    clip = next(entry for entry in entries if entry.frames > 1)
    still = next(entry for entry in entries if entry.frames == 1 and entry.study != clip.study)
    shutil.copy(still.path, folder / "a_still.dcm")
    shutil.copy(still.path, folder / "b_the_same_again.dcm")
    (folder / "deep").mkdir()
    shutil.copy(clip.path, folder / "deep/clip")
    cv2.imwrite(str(folder / "picture.png"), np.full((60, 80, 3), 90, np.uint8))
    (folder / "cut.dcm").write_bytes((folder / "a_still.dcm").read_bytes()[:100])
    (folder / "no_suffix").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / "notes.txt").write_text("not an image")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return folder, still, clip


def run(*arguments, sr=False):
    return CliRunner().invoke(app, ["predict", *map(str, arguments), "--device", "cpu", *(["--sr"] if sr else [])])


@pytest.fixture(scope="module")
def results(mixed, model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "new" / "out"
    return run(mixed[0], "--model", model_dir, "--out", out, "--every-frame", sr=True), out


def test_a_folder_with_everything_in_it(results, mixed, class_names):
    done, out = results
    folder, still, clip = mixed
    assert done.exit_code == 3, done.output
    assert {path.name for path in out.iterdir()} | {"key_objects"} == set(OURS) - {"study.json", "report.html"}
    table = pd.read_csv(out / "predictions.csv", dtype={"SOPInstanceUID": str}, keep_default_na=False)
    assert table.columns.tolist() == ["SOPInstanceUID", "frame", "class", "prediction", "probability", *class_names]
    assert (table["class"] == "").all()
    picture = str(folder / "picture.png")
    expected = [(still.sop_instance_uid, -1), *((clip.sop_instance_uid, k) for k in range(clip.frames)), (picture, -1)]
    assert list(zip(table.SOPInstanceUID, table.frame, strict=True)) == expected
    assert len(Predictions.read_csv(out / "predictions.csv", class_names)) == len(expected)
    assert len(list((out / "structured_reports").iterdir())) == 2
    expected_words = (
        f"{len(expected)} images in",
        "images/s",
        "4 files passed over",
        "2 structured reports",
        "1 studies",
    )
    for text in expected_words:
        assert text in done.output
    for name in ("cut.dcm", "no_suffix"):
        assert str(folder / name) in done.output
    assert "notes.txt" not in done.output
    assert "b_the_same_again.dcm" not in done.output


def test_the_json_follows_its_schema_and_agrees_with_the_table(results, mixed, class_names, model_dir):
    _, out = results
    content = json.loads((out / "predictions.json").read_text())
    schema = read_schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(content)
    table = Predictions.read_csv(out / "predictions.csv", class_names)
    listed = np.array([[image["probabilities"][name] for name in class_names] for image in content["images"]])
    np.testing.assert_allclose(listed, table.probabilities, rtol=1e-8)
    assert [image["top"] for image in content["images"]] == [class_names[k] for k in table.predicted]
    assert [image["frame"] for image in content["images"]] == table.frames.tolist()
    assert {item["source"] for item in content["failures"]} == {
        str(mixed[0] / name) for name in ("cut.dcm", "no_suffix")
    }
    assert "Not a medical device" in content["notice"]
    assert content["model"]["weights_sha256"] == Predictor(model_dir).identity.weights_sha256


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["images", 0, "confidence"], 1.5),
        (["images", 0, "frame"], -2),
        (["images", 0, "label"], 3),
        (["images", 0, "patient_name"], "Doe"),
        (["images"], []),
        (["model", "weights_sha256"], "ab"),
        (["format"], 2),
        (["failures", 0, "message"], ""),
    ],
)
def test_the_schema_refuses_what_is_wrong(results, path, value):
    content = json.loads((results[1] / "predictions.json").read_text())
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ValidationError):
        Draft202012Validator(read_schema()).validate(content)


def test_a_prediction_alone_follows_its_part_of_the_schema(model_dir):
    schema = read_schema()
    (found,) = Predictor(model_dir, device="cpu").predict(np.zeros((3, 60, 80), np.uint8))
    part = {**schema["$defs"]["prediction"], "$defs": schema["$defs"]}
    Draft202012Validator(part).validate(found.to_dict())


def test_tables_and_messages_name_no_patient(mixed, model_dir, tmp_path):
    folder = shutil.copytree(mixed[0], tmp_path / "in")
    dataset = pydicom.dcmread(folder / "a_still.dcm")
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "secret-7", "19810203"
    dataset.save_as(folder / "a_still.dcm")
    done = run(folder, "--model", model_dir, "--out", tmp_path / "out")
    written = done.output + "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in {".csv", ".json", ".html"}
    )
    for secret in ("Doe", "secret-7", "19810203"):
        assert secret not in written


def test_all_well_is_exit_code_0_and_equals_the_predictor(mixed, model_dir, tmp_path):
    folder = mixed[0]
    inputs = folder / "a_still.dcm", folder / "a_still.dcm", folder / "deep"
    done = run(*inputs, "--model", model_dir, "--out", tmp_path, "--every-frame")
    assert done.exit_code == 0, done.output
    table = Predictions.read_csv(tmp_path / "predictions.csv")
    found = list(Predictor(model_dir, device="cpu").predict([folder / "a_still.dcm", folder / "deep/clip"]))
    np.testing.assert_allclose(table.probabilities, [item.probabilities for item in found], atol=1e-5)


def test_a_folder_that_is_not_empty_stays_as_it_is(mixed, model_dir, tmp_path):
    out = tmp_path / "out"
    still = mixed[0] / "a_still.dcm"
    assert run(still, "--model", model_dir, "--out", out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    again = run(mixed[0] / "picture.png", "--model", model_dir, "--out", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert run(mixed[0] / "picture.png", "--model", model_dir, "--out", out, "--overwrite").exit_code == 0
    assert Predictions.read_csv(out / "predictions.csv").keys == [(str(mixed[0] / "picture.png"), -1)]
    (out / "thesis.doc").write_text("the only copy")
    refused = run(still, "--model", model_dir, "--out", out, "--overwrite")
    assert refused.exit_code == 1
    assert "thesis.doc" in refused.output
    assert (out / "thesis.doc").read_text() == "the only copy"


def test_overwriting_leaves_no_report_of_before(mixed, model_dir, tmp_path):
    still = mixed[0] / "a_still.dcm"
    assert run(still, "--model", model_dir, "--out", tmp_path / "out", sr=True).exit_code == 0
    assert run(still, "--model", model_dir, "--out", tmp_path / "out", "--overwrite").exit_code == 0
    assert not (tmp_path / "out/structured_reports").exists()


@pytest.mark.parametrize("moment", ["while predicting", "while writing a study", "while writing"])
@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_dies_leaves_nothing(mixed, model_dir, tmp_path, monkeypatch, moment, there):
    out = tmp_path / "out"
    if there:
        out.mkdir()

    def die(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "while writing":
        monkeypatch.setattr(Predictions, "write_csv", die)
    if moment == "while writing a study":
        monkeypatch.setattr(study_folder, "write_study_page", die)
    with pytest.raises(InputError, match="No space left on device; make room"):
        predict_to_folder(
            [mixed[0] / "a_still.dcm"],
            model_dir,
            out,
            device="cpu",
            progress=die if moment == "while predicting" else None,
        )
    assert out.exists() == there
    assert not there or not list(out.iterdir())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["nowhere.dcm"], "nowhere.dcm does not exist"),
        (["ct_only"], "no ultrasound image among 1 files"),
        (["cut.dcm"], "cut.dcm"),
        (["dir_of_bad"], "bad.png"),
    ],
)
def test_mistakes_are_one_message_and_write_nothing(mixed, model_dir, tmp_path, inputs, message):
    (tmp_path / "ct_only").mkdir()
    shutil.copy(mixed[0] / "ct.dcm", tmp_path / "ct_only")
    shutil.copy(mixed[0] / "cut.dcm", tmp_path)
    (tmp_path / "dir_of_bad").mkdir()
    (tmp_path / "dir_of_bad/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run(*(tmp_path / name for name in inputs), "--model", model_dir, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_and_a_file_for_a_folder(mixed, tmp_path, model_dir):
    still = mixed[0] / "a_still.dcm"
    done = run(still, "--model", tmp_path, "--out", tmp_path / "out")
    assert (done.exit_code, "model.json" in done.output) == (1, True)
    (tmp_path / "file").write_text("")
    done = run(still, "--model", model_dir, "--out", tmp_path / "file")
    assert (done.exit_code, "is a file" in done.output) == (1, True)
    assert run(still, "--model", model_dir).exit_code == 2
    assert run("--model", model_dir, "--out", tmp_path / "out").exit_code == 2


def test_each_image_is_found_once(mixed):
    folder, _, clip = mixed
    found = find_images([folder / "deep", folder, folder / "a_still.dcm"])
    frames = [FrameRef(str(folder / "deep/clip"), k) for k in range(clip.frames)]
    assert found.frames == [*frames, FrameRef(str(folder / "a_still.dcm")), FrameRef(str(folder / "picture.png"))]
    assert {Path(name).name: why for name, why in found.passed_over.items()} == {
        "b_the_same_again.dcm": "its SOPInstanceUID is that of another file, no smaller: each image counts once",
        "ct.dcm": "DICOM images of modality CT",
        "notes.txt": "not DICOM",
        "DICOMDIR": "not DICOM",
    }
    again = find_images([folder / "a_still.dcm", folder / "b_the_same_again.dcm", folder / "ct.dcm"])
    assert [frame.path for frame in again.frames] == [str(folder / "a_still.dcm"), str(folder / "ct.dcm")]
    assert "a_still.dcm" in again.passed_over[str(folder / "b_the_same_again.dcm")]


def test_a_copy_that_was_cut_off_is_the_one_to_be_passed_over(mixed):
    folder = mixed[0]
    whole, cut = folder / "a_still.dcm", folder / "0_cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-100])
    for inputs in ([folder], [cut, whole], [whole, cut], [cut, folder]):
        found = find_images(inputs)
        assert FrameRef(str(whole)) in found.frames
        assert FrameRef(str(cut)) not in found.frames
        assert str(cut) in found.passed_over
