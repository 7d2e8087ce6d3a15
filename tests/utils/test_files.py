"""Whole files or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fetal_monai.utils.files import atomic_path


def test_a_file_appears_whole_with_ordinary_rights(tmp_path):
    target = tmp_path / "new" / "a.csv"
    with atomic_path(target) as temporary:
        temporary.write_text("1")
        assert temporary.suffix == ".csv"
        assert temporary.parent == target.parent
        assert not target.exists()
    umask = os.umask(0)
    os.umask(umask)
    assert target.read_text() == "1"
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in target.parent.iterdir()] == ["a.csv"]


def _write_half(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        _write_half(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
