"""Zips that no honest publisher makes are refused by name; folders and zips read the same."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data.importers import source as module
from fetal_monai.data.importers.source import by_title, is_path_outside, open_source
from fetal_monai.dicom.limits import Fault
from fetal_monai.errors import InputError
from made_archives import write_folder, write_zip
from rights import without_rights

FILES = {"set/a.png": b"a" * 1000, "set/b/c.png": b"c", ".hidden/x": b"", "__MACOSX/set/._a.png": b""}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_and_a_zip_read_the_same(tmp_path, zipped):
    path = write_zip(FILES, tmp_path / "a.zip") if zipped else write_folder(FILES, tmp_path / "a")
    with open_source(path) as source:
        names = [name for name in source.names if not name.startswith("__MACOSX")]
        assert names == ["set/a.png", "set/b/c.png"]
        assert source.read("set/a.png") == b"a" * 1000
        with pytest.raises(Fault, match="more than"):
            source.read("set/a.png", limit=999)


def test_a_link_to_nothing_is_no_silence(tmp_path):
    path = write_folder(FILES, tmp_path / "a")
    (path / "set" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with open_source(path) as source:
        assert "set/gone.png" in source.names
        with pytest.raises(Fault, match="No such file"):
            source.read("set/gone.png")


def test_a_folder_that_may_not_be_read_is_no_silence(tmp_path):
    locked = write_folder(FILES, tmp_path / "a") / "set" / "b"
    script = (
        "import sys; from fetal_monai.data.importers.source import open_source; open_source(sys.argv[1]).__enter__()"
    )
    locked.chmod(0)
    try:
        command = without_rights([sys.executable, "-c", script, str(tmp_path / "a")])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        locked.chmod(0o700)
    assert done.returncode == 1
    assert f"InputError: {locked}: 1 problem\n  the folder cannot be read (Permission denied)" in done.stderr


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"])
def test_a_member_that_would_be_written_outside_is_named(tmp_path, name):
    path = write_zip({"good.png": b"", name: b""}, tmp_path / "a.zip")
    with pytest.raises(InputError, match="outside") as caught, open_source(path):
        pass
    assert len(caught.value.problems) == 1
    assert "evil.png" in str(caught.value)


def test_a_link_an_encrypted_and_a_double_member_are_named(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("same.png", b"1")
        archive.writestr("sub\\..\\..\\x.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("same.png", b"2")
    content = bytearray(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(InputError) as caught, open_source(path):
        pass
    assert sorted(problem.split(";")[0] for problem in caught.value.problems) == [
        "member 'link.png' is a link",
        "member 'same.png' is there twice",
        "member 'sub\\\\..\\\\..\\\\x.png' would be written outside of the folder",
    ]


def test_an_encrypted_member_is_named(tmp_path):
    path = write_zip({"a.png": b"a"}, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"'a\.png' is encrypted"), open_source(path):
        pass


def test_a_zip_bomb_is_refused_unread(tmp_path, monkeypatch):
    path = write_zip({"a.png": bytes(100_000)}, tmp_path / "a.zip")
    monkeypatch.setattr(module, "MAX_EXPANDED", 99_999)
    with pytest.raises(InputError, match="would unfold"), open_source(path):
        pass


def test_a_member_that_claims_to_be_small_is_read_no_further(tmp_path):
    path = write_zip({"a.png": bytes(100_000)}, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with open_source(path) as source, pytest.raises(Fault, match="damaged"):
        source.read("a.png")


def test_damage_is_told_for_the_member(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"abcdefgh")
        archive.writestr("b.png", b"whole")
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdEfgh"))
    with open_source(path) as source:
        with pytest.raises(Fault, match="damaged"):
            source.read("a.png")
        assert source.read("b.png") == b"whole"


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no whole zip"), open_source(path):
        pass


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder or zip"), open_source(tmp_path / "nothing"):
        pass


def test_a_name_that_is_no_utf_8_can_be_read_and_written_down(tmp_path):
    (tmp_path / "caf\udce9.png").write_bytes(b"1")
    with open_source(tmp_path) as source:
        (name,) = source.names
        assert name.encode("utf-8") == b"caf\\xe9.png"
        assert source.read(name) == b"1"


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(NAMES, unique=True, max_size=6), st.sampled_from(["", "around/", "one/two/"]))
def test_folders_around_everything_make_no_difference(names, around):
    assert by_title(around + name for name in names).keys() == by_title(names).keys()
    assert sorted(by_title(names).values()) == sorted(names)


@given(st.text("ab./\\:", max_size=8))
def test_a_name_that_stays_inside_does(name):
    if not is_path_outside(name):
        path = PureWindowsPath(name)
        assert not path.is_absolute()
        assert not path.drive
        assert ".." not in path.parts
