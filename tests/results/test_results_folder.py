"""A folder of results takes the place of earlier ones and of nothing else, and of those wholly or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import InputError
from fetal_monai.results.folder import check_replaceable, results_folder


@pytest.fixture(scope="module")
def made(model_dir, phantom, tmp_path_factory):
    """What a call leaves for two studies, with everything that it can write."""
    out = tmp_path_factory.mktemp("made") / "out"
    studies = {entry.study: entry.path for entry in index_dicom(phantom).values() if entry.frames == 1}
    words = ["predict", *list(studies.values())[:2], "--model", str(model_dir), "--out", str(out), "--sr"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert list(out.glob("studies/*/study.json"))
    assert list(out.glob("key_objects/*.dcm"))
    return out


@pytest.fixture
def results(made, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "results"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_earlier_results_may_be_replaced(results):
    with pytest.raises(InputError, match="--overwrite"):
        check_replaceable(results, overwrite=False)
    replace(results)
    assert content(results) == {"index.html": b"new", "predictions.csv": b"new"}


NAMED_ALIKE = [
    "studies/a.dcm",
    "studies/1/notes.txt",
    "studies/old/report.html",
    "studies/1/more/study.json",
    "structured_reports/notes.txt",
    "key_objects/1.dcm/1.dcm",
]


@pytest.mark.parametrize("name", [*NAMED_ALIKE, "thesis.doc"])
def test_what_somebody_has_put_among_them_is_not(results, name):
    path = results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the only copy")
    before = content(results)
    with pytest.raises(InputError, match=rf"holds other files than predictions \({name.partition('/')[0]}"):
        check_replaceable(results, overwrite=True)
    path.unlink()
    (results / "index.html").unlink()
    (results / "index.html").symlink_to(results / "predictions.csv")
    with pytest.raises(InputError, match=r"index\.html"):
        check_replaceable(results, overwrite=True)
    assert content(results).keys() == before.keys() - {name}


def test_what_systems_leave_in_folders_is_no_obstacle(results):
    for name in (".DS_Store", "studies/.DS_Store", "studies/1/.nfs000001"):
        (results / name).touch()
    check_replaceable(results, overwrite=True)


@pytest.mark.parametrize("name", ["report.html", "studies.csv", "predictions.json"])
def test_a_file_of_such_a_name_is_not_enough(tmp_path, name):
    (tmp_path / name).write_text('{"format": 1}')
    with pytest.raises(InputError, match=r"holds no predictions\.json of earlier predictions; name another folder"):
        check_replaceable(tmp_path, overwrite=True)


def test_a_folder_of_images_is_read_and_stays(model_dir, phantom, tmp_path):
    """Once it went the way of earlier results, for it is named like theirs."""
    (tmp_path / "studies").mkdir()
    still = next((phantom / "dicom").glob("*.dcm"))
    shutil.copyfile(still, tmp_path / "studies/a.dcm")
    words = ["predict", str(tmp_path / "studies"), "--model", str(model_dir), "--out", str(tmp_path), "--overwrite"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "holds other files than predictions (studies/a.dcm)" in done.stderr
    assert content(tmp_path) == {"studies/a.dcm": still.read_bytes()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_there_meanwhile_stays(tmp_path, overwrite):
    def slowly():
        with results_folder(tmp_path, overwrite=overwrite) as folder:
            (folder / "predictions.csv").write_text("of the slower run")
            (tmp_path / "predictions.csv").write_text("somebody's")

    with pytest.raises(InputError, match="what was to go there lies in") as told:
        slowly()
    (kept,) = tmp_path.glob(".predict-*/new")
    assert str(kept) in str(told.value)
    assert content(kept) == {"predictions.csv": b"of the slower run"}
    assert (tmp_path / "predictions.csv").read_text() == "somebody's"


def replace(results: Path) -> None:
    with results_folder(results, overwrite=True) as folder:
        for name in ("index.html", "predictions.csv"):
            (folder / name).write_text("new")


@pytest.mark.parametrize("name", ["studies", "predictions.csv", "new predictions.csv"])
def test_where_the_disk_refuses_one_all_stay(results, monkeypatch, name):
    before = content(results)
    rename = Path.rename

    def refused(path, target):  # a folder of somebody else's, as a container leaves it; a disk that fails
        if path == results / name or (name.startswith("new ") and path.match("new/predictions.csv")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        replace(results)
    assert content(results) == before


def test_what_cannot_be_put_back_is_kept_and_told(results, monkeypatch):
    before = content(results)
    rename, steps = Path.rename, []

    def failing(path, target):  # a mount that goes away for a while, amid the first step and the next
        steps.append(path)
        if len(steps) in (4, 5):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match="earlier results that could not be put back lie in") as told:
        replace(results)
    (kept,) = results.glob(".predict-*/old")
    assert str(kept) in str(told.value)
    left = {name: raw for name, raw in content(results).items() if not name.startswith(".predict-")}
    assert {**content(kept), **left} == before
