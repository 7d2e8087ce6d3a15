"""`fetal-monai predict` in several processes writes what it does in one."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.cli.helpers import paying
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import FetalMonaiError
from fetal_monai.results.helpers import start_helpers
from fetal_monai.results.options import Options
from fetal_monai.results.predict_to_folder import predict_to_folder
from fetal_monai.results.study_portion import frames_of, portions_of
from fetal_monai.study.grouping import StudyFiles

studies = st.builds(
    StudyFiles,
    st.just("study"),
    st.none(),
    st.lists(st.just("still.dcm"), max_size=60).map(tuple),
    st.dictionaries(st.sampled_from("abc"), st.integers(2, 900)),
)


@given(st.lists(studies, max_size=80), st.integers(1, 9))
def test_portions_are_all_studies_once_in_their_order(given_studies, processes):
    portions = portions_of(given_studies, processes)
    numbered = [item for portion in portions for item in portion]
    assert numbered == list(enumerate(given_studies, start=1))
    if processes == 1:
        assert len(portions) == 1
        return
    sizes = [sum(frames_of(files) for _, files in portion) for portion in portions]
    left = sum(sizes)
    for size, portion in list(zip(sizes, portions, strict=True))[:-1]:
        enough = max(12, left / (4 * processes))
        assert size >= enough > size - frames_of(portion[-1][1]), "no study more than it takes"
        left -= size


@pytest.mark.parametrize(
    ("files", "threads", "cuda", "device", "processes"),
    [
        (500, 8, False, None, 1),
        (501, 8, False, None, 2),
        (1500, 8, False, "cpu", 3),
        (1500, 2, False, None, 2),
        (1500, 1, False, None, 1),
        (2600, 8, False, None, 4),
        (2600, 8, True, None, 1),
        (2600, 8, True, "cpu", 4),
        (2600, 8, False, "cuda:1", 1),
    ],
)
def test_as_many_processes_as_pay(tmp_path, monkeypatch, files, threads, cuda, device, processes):
    (tmp_path / "deep").mkdir()
    for number in range(files - 1):
        (tmp_path / "deep" / f"{number}").touch()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert paying([tmp_path, Path("one.dcm")], device) == processes


def test_processes_are_for_files(tmp_path):
    for way in (["a.dcm", "--ray"], ["--dicomweb", "http://localhost:1", "--study", "1.2"]):
        done = CliRunner().invoke(app, ["predict", *way, "--out", str(tmp_path / "out"), "--processes", "2"])
        assert done.exit_code == 2
        assert "--processes is for files" in re.sub(r"[\s│]+", " ", done.output)


@pytest.fixture(scope="module")
def helped(evaluated_model):
    """One helper for all tests of this module, and its process; beginning takes some seconds."""
    with start_helpers(1, evaluated_model, device="cpu", engine="torch") as helpers:
        until_ready(helpers)
        yield helpers


def until_ready(helpers):
    while not all(helper.begun(0.1) for helper in helpers._helpers):
        pass


@pytest.fixture(scope="module")
def alone(phantom, evaluated_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    return predict_to_folder([phantom], evaluated_model, out, Options(explain=False), device="cpu", engine="torch"), out


def content(out):
    """Every file that was written, and what can be compared of it."""
    files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {name: json.loads(path.read_text()) if path.suffix == ".json" else None for name, path in files.items()}


def close(one, other):
    """Equal, but for the last digits of numbers: batches differ."""
    if isinstance(one, float):
        return one == pytest.approx(other, abs=1e-4)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other


@pytest.mark.thorough
def test_two_processes_write_what_one_writes(helped, alone, phantom, evaluated_model, tmp_path):
    summary, theirs = alone
    told = []
    mine = predict_to_folder(
        [phantom],
        evaluated_model,
        tmp_path / "out",
        Options(explain=False),
        device="cpu",
        engine="torch",
        helpers=helped,
        progress=lambda done, total: told.append((done, total)),
    )
    frames = told[-1][1]
    assert 0 < helped.told < frames, "both did some"
    assert max(done for done, _ in told) == pytest.approx(frames)
    assert replace(mine, seconds=0) == replace(summary, seconds=0)
    assert close(content(tmp_path / "out"), content(theirs))
    assert (tmp_path / "out/studies.csv").read_bytes() == (theirs / "studies.csv").read_bytes()
    assert len(mine.studies) > 10


@pytest.mark.thorough
def test_processes_that_would_answer_by_other_engines_stop(helped, phantom, evaluated_model, tmp_path):
    pytest.importorskip("openvino")
    with pytest.raises(FetalMonaiError, match=r"by OpenVINO.*by PyTorch"):
        predict_to_folder([phantom], evaluated_model, tmp_path / "out", device="cpu", engine="openvino", helpers=helped)
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_one_study_is_written_as_by_one_process(helped, phantom, evaluated_model, tmp_path):
    entries = list(index_dicom(phantom).values())
    for entry in entries:
        if entry.study == entries[0].study:
            shutil.copy(entry.path, tmp_path)
    (tmp_path / "broken.dcm").write_bytes(b"no image")
    (tmp_path / "notes.txt").touch()
    both = [
        predict_to_folder(
            [tmp_path],
            evaluated_model,
            tmp_path / out,
            Options(explain=False),
            device="cpu",
            engine="torch",
            helpers=helpers,
        )
        for out, helpers in ((".one", None), (".two", helped))
    ]
    assert replace(both[0], seconds=0) == replace(both[1], seconds=0)
    assert both[1].failures
    assert {path.name for path in (tmp_path / ".two").iterdir()} == {
        path.name for path in (tmp_path / ".one").iterdir()
    }


@pytest.mark.thorough
def test_what_a_killed_helper_leaves_is_done_all_the_same(alone, phantom, evaluated_model, tmp_path, caplog):
    summary, theirs = alone
    with start_helpers(1, evaluated_model, device="cpu", engine="torch") as helpers:
        until_ready(helpers)
        (process,) = [helper._process for helper in helpers._helpers]

        def kill(done, _):
            """Kill the helper when it has written a report or two."""
            if done and len(list((tmp_path / "out").glob(".predict-*/new/structured_reports/*.dcm"))) > 3:
                process.kill()

        mine = predict_to_folder(
            [phantom],
            evaluated_model,
            tmp_path / "out",
            Options(explain=False, dicom=True),
            device="cpu",
            engine="torch",
            helpers=helpers,
            progress=kill,
        )
    assert "a process that helped ended early (exit status -9" in caplog.text
    rows = [replace(row, seconds=0) for row in (mine, summary)]
    assert replace(rows[0], reports=0, key_objects=0) == rows[1]
    assert close(
        *(
            {name: text for name, text in content(out).items() if not name.endswith(".dcm")}
            for out in (tmp_path / "out", theirs)
        )
    )
    reports = [pydicom.dcmread(path) for path in (tmp_path / "out/structured_reports").iterdir()]
    assert len(reports) == mine.reports == len({report.StudyInstanceUID for report in reports}) == len(mine.studies)
    assert len(list((tmp_path / "out/key_objects").iterdir())) == mine.key_objects


@pytest.mark.thorough
def test_the_command_in_two_processes(phantom, evaluated_model, tmp_path):
    command = ["-m", "fetal_monai", "predict", phantom, "--model", evaluated_model, "--out", tmp_path / "out", "--sr"]
    done = subprocess.run(
        [sys.executable, *map(str, command), "--processes", "2", "--device", "cpu", "--explain"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "12 structured reports" in done.stdout
    assert "Traceback" not in done.stderr
    assert "ended early" not in done.stderr
    pages = list((tmp_path / "out/studies").glob("*/report.html"))
    assert len(pages) == len(list((tmp_path / "out/structured_reports").iterdir())) == 12
