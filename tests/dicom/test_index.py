"""The index: right, incremental, remembered, shared."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fetal_monai.dicom import index, index_dicom, read_frame
from fetal_monai.errors import InputError
from rights import without_rights


@pytest.fixture
def folder(kit, tmp_path):
    root = tmp_path / "study"
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for number, name in enumerate(("a.dcm", "deep/b", "deep/er/c.dcm", ".hidden/d.dcm")):
        kit.write(root / name, kit.frames(number + 1), elements={"SOPInstanceUID": f"1.2.{number}"})
    (root / "notes.txt").write_text("no DICOM")
    (root / "broken.dcm").write_bytes((root / "a.dcm").read_bytes()[:300])
    (root / "copy.dcm").write_bytes((root / "a.dcm").read_bytes())
    return root


@pytest.fixture
def headers_read(monkeypatch):
    read = []
    original = index.index_file
    monkeypatch.setattr(index, "index_file", lambda path, **more: read.append(path) or original(path, **more))
    return read


def test_it_finds_files_in_nested_folders(folder):
    found = index_dicom(folder)
    assert list(found) == ["1.2.0", "1.2.1", "1.2.2"]
    entry = found["1.2.2"]
    assert entry.path == str(folder / "deep" / "er" / "c.dcm")
    assert (entry.frames, entry.modality, entry.rows, entry.columns) == (3, "US", 48, 64)
    assert found.unreadable[str(folder / "notes.txt")] == "this is not a DICOM file"
    assert str(folder / "broken.dcm") in found.unreadable
    assert found.duplicates == (str(folder / "copy.dcm"),)


def test_links_to_folders_are_followed_and_loops_survived(kit, folder, tmp_path):
    (tmp_path / "elsewhere" / "x").mkdir(parents=True)
    kit.write(tmp_path / "elsewhere" / "x" / "far.dcm", kit.frames(1), elements={"SOPInstanceUID": "1.2.8"})
    plain = index_dicom(folder)
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "deep" / "above").symlink_to(tmp_path)
    (folder / "again").symlink_to(folder / "deep")
    assert index_dicom(folder) == plain
    (folder / "one").symlink_to(tmp_path / "elsewhere")
    (folder / "two").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    found = index_dicom(folder)
    assert found["1.2.8"].path == str(folder / "one" / "x" / "far.dcm")
    assert {**found, "1.2.8": None} == {**plain, "1.2.8": None}
    assert found.duplicates == plain.duplicates
    (tmp_path / "link").symlink_to(folder)
    assert list(index_dicom(tmp_path / "link")) == list(found)


def test_links_to_nothing_are_told_and_not_remembered(kit, folder, tmp_path):
    (folder / "gone.dcm").symlink_to(tmp_path / "later.dcm")
    (folder / "self").symlink_to(folder / "self")
    cache = tmp_path / "index.sqlite"
    found = index_dicom(folder, cache=cache).unreadable
    assert found[str(folder / "gone.dcm")] == "what it links to cannot be read: No such file or directory"
    assert "what it links to cannot be read: " in found[str(folder / "self")]
    assert index.remedy(found[str(folder / "self")], "copy it again") == "check its rights, or what it links to"
    assert index.remedy(found[str(folder / "broken.dcm")], "copy it again") == "copy it again"
    kit.write(tmp_path / "later.dcm", kit.frames(1), elements={"SOPInstanceUID": "1.2.8"})
    again = index_dicom(folder, cache=cache)
    assert again["1.2.8"].path == str(folder / "gone.dcm")
    assert str(folder / "gone.dcm") not in again.unreadable


def test_what_may_not_be_read_is_told_and_not_remembered(folder, tmp_path):
    script = (
        "import sys; from fetal_monai.dicom import index_dicom\n"
        "found = index_dicom(sys.argv[1], cache=sys.argv[2]); print(len(found), *map(repr, found.unreadable.items()))"
    )
    command = without_rights([sys.executable, "-c", script, str(folder), str(tmp_path / "index.sqlite")])
    locked = folder / "deep" / "er", folder / "a.dcm"
    for path in locked:
        path.chmod(0)
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        for path in locked:
            path.chmod(0o700)
    assert told.startswith("2 ")
    assert f"('{locked[0]}', 'the folder cannot be read: Permission denied')" in told
    assert f"('{locked[1]}', 'it cannot be read: Permission denied')" in told
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told.startswith("3 ")
    assert "Permission" not in told


def test_a_copy_that_was_cut_off_hides_nothing(kit, folder):
    whole = folder / "a.dcm"
    for name in ("0.dcm", "z.dcm"):
        (folder / name).write_bytes(whole.read_bytes()[:-100])
    found = index_dicom(folder)
    assert found["1.2.0"].path == str(whole)
    assert found.duplicates == tuple(str(folder / name) for name in ("0.dcm", "copy.dcm", "z.dcm"))
    assert list(found) == ["1.2.0", "1.2.1", "1.2.2"]


def test_a_file_without_pixels_has_no_frames(kit):
    found = index_dicom(kit.real("reportsi.dcm").parent)
    (report,) = [entry for entry in found.values() if entry.path.endswith("reportsi.dcm")]
    assert (report.modality, report.frames, report.rows) == ("SR", 0, 0)


def test_no_frames_are_one_where_there_are_pixels(kit, tmp_path):
    path = kit.write(tmp_path / "still.dcm", kit.frames(1), elements={"NumberOfFrames": 0})
    (entry,) = index_dicom(tmp_path).values()
    assert entry.frames == 1
    assert np.array_equal(np.moveaxis(read_frame(path), 0, -1), kit.frames(1)[0])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        index_dicom(tmp_path / "nowhere")


def test_only_what_is_new_or_changed_is_read_again(kit, folder, tmp_path, headers_read):
    cache = tmp_path / "index.sqlite"
    first = index_dicom(folder, cache=cache)
    assert len(headers_read) == 6
    headers_read.clear()
    assert index_dicom(folder, cache=cache) == first
    assert headers_read == []

    kit.write(folder / "new.dcm", kit.frames(1), elements={"SOPInstanceUID": "1.2.9"})
    os.utime(folder / "deep" / "b", ns=(1, 1))
    (folder / "copy.dcm").unlink()
    changed = index_dicom(folder, cache=cache)
    assert sorted(headers_read) == [str(folder / "deep" / "b"), str(folder / "new.dcm")]
    assert list(changed) == ["1.2.0", "1.2.1", "1.2.2", "1.2.9"]
    assert changed.duplicates == ()
    assert changed == index_dicom(folder, cache=False)


@pytest.mark.parametrize("content", [b"", b"this is no database " * 99])
def test_a_damaged_cache_is_made_anew(folder, tmp_path, content):
    cache = tmp_path / "index.sqlite"
    cache.write_bytes(content)
    assert index_dicom(folder, cache=cache) == index_dicom(folder, cache=False)
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (6,)


def test_a_cache_of_another_version_is_made_anew(folder, tmp_path, headers_read):
    cache = tmp_path / "index.sqlite"
    index_dicom(folder, cache=cache)
    with sqlite3.connect(cache) as connection:
        connection.execute("PRAGMA user_version = 99")
    headers_read.clear()
    index_dicom(folder, cache=cache)
    assert len(headers_read) == 6


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, caplog):
    assert list(index_dicom(folder, cache=tmp_path)) == ["1.2.0", "1.2.1", "1.2.2"]
    assert "the index is not remembered" in caplog.text


def _index(job):
    folder, cache = job
    return list(index_dicom(folder, cache=cache))


def test_two_processes_may_share_a_cache(kit, folder, tmp_path):
    frame = kit.frames(1)
    for number in range(60):
        kit.write(folder / f"{number}.dcm", frame, elements={"SOPInstanceUID": f"1.3.{number}"})
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(_index, [(str(folder), str(tmp_path / "index.sqlite"))] * 6, chunksize=1)
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 63
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (66,)


def test_many_files_are_remembered_without_being_asked(folder, tmp_path, monkeypatch, headers_read):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    index_dicom(folder)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(index, "AUTO_CACHE", 3)
    index_dicom(folder, progress=True)
    headers_read.clear()
    index_dicom(folder)
    assert headers_read == []
    assert len(list((tmp_path / "cache" / "fetal_monai").glob("index-*.sqlite"))) == 1


def test_the_pixels_are_never_read(kit, tmp_path):
    path = kit.write(tmp_path / "a.dcm", np.zeros((1, 2000, 2000), np.uint8), photometric="MONOCHROME2")
    with Path(path).open("r+b") as file:
        file.truncate(path.stat().st_size - 3_900_000)
    (entry,) = index_dicom(tmp_path).values()
    assert (entry.rows, entry.columns) == (2000, 2000)
