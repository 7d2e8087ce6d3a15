"""`predict --dicomweb` where something is wrong: with the command, with one study, with the archive half-way."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from archives import TOKEN, send
from fetal_monai.cli import app
from fetal_monai.errors import InputError
from fetal_monai.results.predict_from_archive import _place


def test_an_archive_that_goes_away_costs_what_is_not_done_only(
    servers, proxy, studies, model_dir, tmp_path, monkeypatch
):
    """The first study is done, the second cannot be asked for, the third is not tried; later both are done."""
    first, second, third = studies
    monkeypatch.setenv("FETAL_MONAI_DICOMWEB_TOKEN", TOKEN)
    open_doors = [True]

    def respond(handler):
        open_doors[0] = open_doors[0] and second not in handler.path
        return proxy(handler) if open_doors[0] else send(handler, status=401)

    url, _ = servers(respond)
    command = ["predict", "--dicomweb", url, "--out", tmp_path / "out", "--device", "cpu", "--no-explain"]
    command += ["--model", model_dir, *(word for uid in studies for word in ("--study", uid))]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 3, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {first, "studies.csv", "index.html"}
    assert f"study {second}: {url.removesuffix('/dicom-web')}: refuses the user name" in done.output
    assert f"study {third}: not tried: " in done.output
    second = "nothing in any path"
    open_doors[0] = True
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*studies, "studies.csv", "index.html"}


def test_a_temporary_folder_that_cannot_be_made_is_a_failure_of_one_study(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="no temporary folder can be made"), _place(None):
        pass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give files or folders, or --dicomweb URL"),
        (("a.dcm", "--dicomweb", "http://x", "--study", "1"), "not both"),
        (("--dicomweb", "http://x"), "needs either --study UID or --since DATE"),
        (("--dicomweb", "http://x", "--study", "1", "--since", "2024-01-01"), "either --study UID or --since DATE"),
        (("a.dcm", "--study", "1"), "need --dicomweb URL"),
    ],
)
def test_wrong_usage(words, message, tmp_path):
    done = CliRunner().invoke(app, ["predict", *words, "--out", str(tmp_path / "out")], env={"COLUMNS": "300"})
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_without_the_package_the_extra_is_named(tmp_path, model_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "dicomweb_client", None)
    monkeypatch.delitem(sys.modules, "fetal_monai.dicomweb.archive")
    words = ["predict", "--dicomweb", "http://127.0.0.1:9", "--study", "1.2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--model", str(model_dir)])
    assert (done.exit_code, "pip install 'fetal_monai[dicomweb]'" in done.output) == (1, True)


def test_a_study_that_is_no_uid_is_told_before_anything_is_asked(tmp_path, model_dir):
    words = ["predict", "--dicomweb", "http://127.0.0.1:9", "--study", "../x", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--model", str(model_dir)])
    assert (done.exit_code, "'../x' is no StudyInstanceUID" in done.output) == (1, True)
