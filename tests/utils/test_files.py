"""Whole files or none."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.utils.files import atomic_path, write_json, write_json_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


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


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_is_no_file(name):
    with pytest.raises(OSError, match=r"busy|directory|exists"), atomic_path(name):
        pass


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


@pytest.mark.parametrize("write", [write_json, write_json_lines])
@given(content=st.dictionaries(st.text(), VALUES))
def test_json_is_read_back_as_it_was(write, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        write(content, path)
        assert json.loads(path.read_bytes()) == content


@pytest.mark.parametrize("write", [write_json, write_json_lines])
@pytest.mark.parametrize("undefined", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_undefined_numbers(write, undefined, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write({"images": [{"score": undefined}]}, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_items_of_a_list_have_a_line_each(tmp_path):
    images = [{"source": f"{index}.dcm", "sizes": [1, 2]} for index in range(20)]
    write_json_lines({"format": 1, "images": images, "failures": []}, tmp_path / "a.json")
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert lines[1] == '"format": 1,'
    assert [json.loads(line.rstrip(",")) for line in lines[3:23]] == images
