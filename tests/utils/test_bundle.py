"""`fetal-monai bundle`: a whole copy to edit, or nothing and the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.errors import InputError
from fetal_monai.utils import bundle
from fetal_monai.utils.bundle import bundle_root, copy_bundle

CLI = CliRunner()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_checkout_has_its_bundle_at_the_top(root):
    assert bundle_root() == root / "bundle"


def test_the_copy_is_the_bundle_without_what_runs_made(root, tmp_path, monkeypatch):
    here = tmp_path / "installed"
    shutil.copytree(root / "bundle", here, ignore=shutil.ignore_patterns("models", "eval"))
    expected = contents(here)
    for made in ("models/model.pt", "eval/report.html"):
        (here / made).parent.mkdir()
        (here / made).write_bytes(b"made by a run")
    (here / "configs" / "train.yaml").chmod(0o444)
    monkeypatch.setattr(bundle, "_PLACES", (here,))
    result = CLI.invoke(app, ["bundle", str(tmp_path / "deep" / "mine")])
    assert result.exit_code == 0
    train = tmp_path / "deep/mine/configs/train.yaml"
    assert f"--config_file {train}" in result.output
    assert contents(tmp_path / "deep/mine") == expected
    assert train.stat().st_mode & 0o200, "a copy is there to be edited"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mine"]


def test_nothing_that_is_there_is_touched(tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("kept")
    result = CLI.invoke(app, ["bundle", str(out)])
    assert result.exit_code == 1
    assert "mine: 1 problem" in result.output
    assert "it is there already" in result.output
    assert contents(tmp_path) == {"mine/notes.txt": b"kept"}
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="it is there already"):
        copy_bundle(tmp_path / "link")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"it cannot be written \(.+\); name a folder in a place that is yours"):
        copy_bundle(tmp_path / "file" / "mine")
    assert contents(tmp_path) == {"file": b"no folder"}


def test_a_copy_that_is_broken_off_leaves_nothing(tmp_path, monkeypatch):
    copy, copied = shutil.copyfile, []

    def until_full(source: Path, target: Path) -> None:
        if len(copied) == 3:
            raise OSError(28, "No space left on device")
        copied.append(copy(source, target))

    monkeypatch.setattr(shutil, "copyfile", until_full)
    with pytest.raises(InputError, match="No space left on device"):
        copy_bundle(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_an_installation_without_a_bundle_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "_PLACES", (tmp_path / "_bundle",))
    with pytest.raises(InputError, match="carries no bundle; install fetal_monai again"):
        copy_bundle(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []
