"""`fetal-monai predict` on studies: a page, a study.json and a row of each; one bad study costs nobody the rest."""

from __future__ import annotations

import csv
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from typer.testing import CliRunner

from clips import textured, write_clip
from fetal_monai.cli import app
from fetal_monai.results.folder import STUDY_SCHEMA_FILE, read_schema


def run(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments), "--device", "cpu"])


def rows(out):
    with (out / "studies.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def still(path, number, **elements):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, textured(1, seed=number), NumberOfFrames=None, FrameTime=None, **elements)


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Ten studies: stills and a clip each, one of them with a clip that is cut, one of pictures."""
    folder = tmp_path_factory.mktemp("ten")
    for number in range(9):
        identity = {"StudyInstanceUID": f"1.2.{number + 1}", "PatientID": f"P{number}"}
        still(folder / f"{number}/still.dcm", number, **identity)
        write_clip(folder / f"{number}/clip.dcm", textured(12, seed=number), **identity)
    whole = (folder / "4/clip.dcm").read_bytes()
    (folder / "4/clip.dcm").write_bytes(whole[: len(whole) - 5 * 60 * 80])
    (folder / "pictures").mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"pictures/{number}.png"), textured(1, seed=number)[0])
    return folder


@pytest.fixture(scope="module")
def answered(ten, model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("answers") / "out"
    return run(ten, "--model", model_dir, "--out", out, "--sr", "--no-explain"), out


def test_ten_studies_have_ten_pages_an_index_and_ten_rows(answered, ten):
    done, out = answered
    assert done.exit_code == 3, done.output
    table = rows(out)
    assert len(table) == 10
    for row in table:
        assert (out / row["report"]).is_file()
        assert (out / row["report"]).with_name("study.json").is_file()
        assert row["report"] in (out / "index.html").read_text()
        assert sum(int(row[name]) for name in ("found", "uncertain", "missing", "not_assessable")) == 20
    assert [row["failures"] for row in table if row["name"] == "4"] == ["1"]
    assert {row["name"]: (row["stills"], row["clips"]) for row in table}["pictures"] == ("2", "0")
    assert len(list((out / "structured_reports").iterdir())) == 9
    selections = list(out.glob("key_objects/*"))
    assert selections
    assert f"{len(selections)} selections of key objects" in done.output
    assert "1 studies without a structured report" in done.output
    assert str(ten / "4/clip.dcm") in done.output


def test_each_study_json_follows_the_schema_and_agrees_with_its_row(answered):
    schema = read_schema(STUDY_SCHEMA_FILE)
    Draft202012Validator.check_schema(schema)
    for row in rows(answered[1]):
        content = json.loads((answered[1] / row["report"]).with_name("study.json").read_text())
        Draft202012Validator(schema).validate(content)
        assert content["study"]["study_instance_uid"] == (row["study_instance_uid"] or None)
        assert (len(content["stills"]), len(content["clips"])) == (int(row["stills"]), int(row["clips"]))
        statuses = [item["status"] for item in content["checklist"]]
        assert (statuses.count("found"), statuses.count("missing")) == (int(row["found"]), int(row["missing"]))
        for clip in content["clips"]:
            assert all(
                len(column) == len(clip["classified"]["frames"])
                for column in clip["classified"]["probabilities"].values()
            )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["checklist", 0, "status"], "maybe"),
        (["stills", 0, "patient_name"], "Doe"),
        (["stills", 0, "sharpness"], -1),
        (["clips", 0, "frames"], 1),
        (["study", "study_instance_uid"], 3),
        (["format"], 2),
    ],
)
def test_the_schema_refuses_what_is_wrong(answered, path, value):
    content = target = json.loads((answered[1] / "studies/1/study.json").read_text())
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ValidationError):
        Draft202012Validator(read_schema(STUDY_SCHEMA_FILE)).validate(content)


def test_one_study_has_its_page_at_the_top_and_tells_all(ten, model_dir, tmp_path):
    folder = shutil.copytree(ten / "0", tmp_path / "in")
    (folder / "notes.txt").write_text("x")
    (folder / "cut.dcm").write_bytes((folder / "still.dcm").read_bytes()[:200])
    done = run(folder, "--model", model_dir, "--out", tmp_path / "out")
    assert done.exit_code == 3, done.output
    assert not (tmp_path / "out/studies").exists()
    assert not (tmp_path / "out/index.html").exists()
    content = json.loads((tmp_path / "out/study.json").read_text())
    assert [item["source"] for item in content["passed_over"]] == [str(folder / "notes.txt")]
    assert [item["source"] for item in content["failures"]] == [str(folder / "cut.dcm")]
    assert "cut.dcm" in (tmp_path / "out/report.html").read_text()


def test_a_study_of_which_nothing_can_be_read_is_a_row_without_a_page(ten, model_dir, tmp_path):
    still(tmp_path / "in/a/1.dcm", 1, StudyInstanceUID="1.7")
    still(tmp_path / "in/b/2.dcm", 2, StudyInstanceUID="1.8")
    whole = (tmp_path / "in/b/2.dcm").read_bytes()
    (tmp_path / "in/b/2.dcm").write_bytes(whole[: len(whole) - 3000])
    done = run(tmp_path / "in", "--model", model_dir, "--out", tmp_path / "out", "--sr")
    assert done.exit_code == 3, done.output
    assert [(row["name"], row["report"], row["failures"]) for row in rows(tmp_path / "out")] == [
        ("a", "studies/1/report.html", "0"),
        ("b", "", "1"),
    ]
    assert "b: nothing could be read" in done.output
    unread = rows(tmp_path / "out")[1]
    assert [unread[status] for status in ("found", "uncertain", "missing", "not_assessable")] == ["0"] * 4
    assert "truncated" in (tmp_path / "out/index.html").read_text()


def test_studies_of_one_folder_are_told_apart(model_dir, tmp_path):
    for number in (1, 2):
        still(tmp_path / f"in/{number}.dcm", number, StudyInstanceUID=f"1.{number}")
    done = run(tmp_path / "in", "--model", model_dir, "--out", tmp_path / "out", "--no-explain")
    assert done.exit_code == 0, done.output
    for name in ("in (1)", "in (2)"):
        assert f"{name}: " in done.output
        assert f">{name}<" in (tmp_path / "out/index.html").read_text()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere file names are text")
def test_names_that_are_no_utf8_cost_nobody_the_results(model_dir, tmp_path):
    folder = tmp_path / "f\udce9mur"
    still(folder / "still\udce9.dcm", 1)
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "picture.png").rename(folder / "picture\udce9.png")
    done = run(folder, "--model", model_dir, "--out", tmp_path / "out", "--no-explain")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out/predictions.json").read_text(encoding="utf-8"))["images"]
    assert {image["source"] for image in found} == {str(path) for path in folder.iterdir()}
    assert "picture\\udce9.png" in (tmp_path / "out/predictions.csv").read_text(encoding="utf-8")
    assert {row["name"] for row in rows(tmp_path / "out")} == {"f\\udce9mur"}


def test_a_protocol_of_ones_own_and_one_that_is_wrong(ten, model_dir, tmp_path, class_names):
    protocol = tmp_path / "mine.yaml"
    protocol.write_text(
        "title: Ours\nsource: us\nreview: nobody\n"
        "items: [{id: a, title: A, planes: [Femur]}, {id: b, title: B, planes: []}]"
    )
    done = run(ten / "0", "--model", model_dir, "--out", tmp_path / "out", "--protocol", protocol, "--no-explain")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out/study.json").read_text())
    assert [item["id"] for item in content["checklist"]] == ["a", "b"]
    protocol.write_text(protocol.read_text().replace("Femur", "Femurr"))
    done = run(ten / "0", "--model", model_dir, "--out", tmp_path / "no", "--protocol", protocol)
    assert done.exit_code == 1
    assert "did you mean 'Femur'?" in done.output
    assert not (tmp_path / "no").exists()


def test_a_name_is_never_a_formula(model_dir, tmp_path):
    for name in ("=1+1", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / name / "1.png"), np.full((60, 80), 90, np.uint8))
    assert run(tmp_path / "in", "--model", model_dir, "--out", tmp_path / "out").exit_code == 0
    assert [row["name"] for row in rows(tmp_path / "out")] == ["'=1+1", "b"]


def test_a_header_that_no_report_can_refer_to_costs_its_study_the_report_and_nothing_else(model_dir, tmp_path):
    still(tmp_path / "in/good.dcm", 1, StudyInstanceUID="1.2.1", PatientID="P1")
    still(tmp_path / "in/bad.dcm", 2, StudyInstanceUID="1.2.2", PatientID=["P2", "P3"])
    done = run(tmp_path / "in", "--model", model_dir, "--out", tmp_path / "out", "--sr", "--no-explain")
    assert done.exit_code == 3, done.output
    table = rows(tmp_path / "out")
    assert [(row["study_instance_uid"], row["failures"]) for row in table] == [("1.2.2", "1"), ("1.2.1", "0")]
    assert len(list((tmp_path / "out/structured_reports").iterdir())) == 1
    assert "several values of PatientID" in done.output
    assert "in/bad.dcm: its study" in done.output
    assert "without a structured report" not in done.output  # that is for studies that cannot have one
    assert "several values of PatientID" in (tmp_path / "out" / table[0]["report"]).read_text()
