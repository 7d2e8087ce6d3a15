"""The index in columns: what a dictionary would say, in little memory, whatever files are called."""

import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.dicom import IndexEntry, index, index_dicom
from fetal_monai.dicom.folder_listing import ListedFiles
from fetal_monai.dicom.index_cache import open_cache
from fetal_monai.dicom.index_entry import EntryTable
from fetal_monai.utils.packed_strings import PackedStrings

uids = st.sampled_from(["1.2", "1.2.3", "1.2.30", "2.25.9", "é"])
entries = st.lists(st.tuples(uids, st.integers(0, 9), st.sampled_from(["US", "SR"]), st.integers(0, 3)), max_size=12)


@given(st.lists(st.text()))
def test_strings_come_back_as_they_were(strings):
    packed = PackedStrings(strings)
    assert list(packed) == strings == packed[:]
    assert packed[::-2] == strings[::-2]
    assert pickle.loads(pickle.dumps(packed))[:] == strings  # our own


@given(st.binary())
def test_a_name_that_is_no_utf8_comes_back(name):
    assert os.fsencode(PackedStrings([os.fsdecode(name)])[0]) == name


@given(st.dictionaries(st.text(), st.tuples(st.integers(0, 2**40), st.integers(-(2**60), 2**60))))
def test_files_are_listed_by_their_paths(files):
    listed = ListedFiles(files.items())
    assert list(listed) == sorted(files.items())
    assert len(listed) == len(files)


def test_sorted_runs_are_merged(monkeypatch):
    monkeypatch.setattr("fetal_monai.dicom.folder_listing._RUN", 3)
    names = ["e", "b", "a", "z", "c", "d", "0"]
    assert [path for path, _ in ListedFiles((name, (1, 2)) for name in names)] == sorted(names)


@given(entries)
def test_the_table_says_what_a_dictionary_would(rows):
    given_ = [
        (IndexEntry(f"{number}.dcm", uid, frames, modality, 8, 9, uid), size)
        for number, (uid, frames, modality, size) in enumerate(rows)
    ]
    largest: dict[str, tuple[IndexEntry, int]] = {}
    for entry, size in given_:
        if entry.sop_instance_uid not in largest or size > largest[entry.sop_instance_uid][1]:
            largest[entry.sop_instance_uid] = entry, size
    kept = [entry for entry, _ in given_ if largest[entry.sop_instance_uid][0] is entry]
    table = EntryTable(given_)
    assert dict(table) == {entry.sop_instance_uid: entry for entry in kept}
    assert list(table) == [entry.sop_instance_uid for entry in kept]
    assert list(table.values()) == kept
    assert list(table.items()) == [(entry.sop_instance_uid, entry) for entry in kept]
    assert len(table) == len(kept)
    assert table.duplicates == tuple(entry.path for entry, _ in given_ if entry not in kept)
    assert "1.9" not in table
    assert dict(pickle.loads(pickle.dumps(table))) == dict(table)  # our own


def test_two_uids_of_one_digest_are_told_apart(monkeypatch):
    monkeypatch.setattr("fetal_monai.dicom.index_entry._digest", lambda _: 7)
    table = EntryTable([(IndexEntry(f"{uid}.dcm", uid, 1, "US", 1, 1), 1) for uid in ("1.1", "1.2", "1.1")])
    assert table["1.2"].path == "1.2.dcm"
    assert table.duplicates == ("1.1.dcm",)
    assert "1.3" not in table


def test_an_entry_takes_a_hundred_bytes_beside_its_names():
    def many():
        for number in range(20_000):
            yield IndexEntry(f"/data/{number:08d}.dcm", f"2.25.{number:08d}", 1, "US", 852, 1136, "2.25.7"), 1

    tracemalloc.start()
    table = EntryTable(many())
    taken, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(table) < 18 + 13 + 100
    assert most / len(table) < 18 + 13 + 130


def test_files_whose_names_are_no_utf8_are_indexed_and_remembered(kit, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    kit.write(folder / "a.dcm", kit.frames(1), elements={"SOPInstanceUID": "1.2.3"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    latin = tmp_path / os.fsdecode("Müller".encode("latin-1"))
    folder.rename(latin)
    (latin / "a.dcm").rename(latin / f"{latin.name}.dcm")
    first = index_dicom(latin, cache=True)
    assert first["1.2.3"].path == str(latin / f"{latin.name}.dcm")
    assert index_dicom(latin, cache=True) == first


def test_what_is_gone_is_forgotten_also_from_an_empty_folder(kit, tmp_path, monkeypatch):
    monkeypatch.setattr("fetal_monai.dicom.index._OF_A_THREAD", 2)
    monkeypatch.setattr("fetal_monai.dicom.index._BATCH", 3)
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(7):
        kit.write(folder / f"{number}.dcm", kit.frames(1), elements={"SOPInstanceUID": f"1.2.{number}"})
    cache = tmp_path / "index.sqlite"
    index_dicom(folder, cache=cache)
    for left in (("1", "4"), ()):
        for file in folder.iterdir():
            if file.stem not in left:
                file.unlink()
        assert list(index_dicom(folder, cache=cache)) == [f"1.2.{stem}" for stem in left]
        with open_cache(folder, cache) as memory:
            assert [Path(path).stem for path, _ in memory.stamps()] == list(left)


def test_a_file_from_the_far_future_is_indexed(kit, tmp_path):
    os.utime(kit.write(tmp_path / "a.dcm", kit.frames(1), elements={"SOPInstanceUID": "1.2.3"}), (10**10, 10**10))
    assert list(index_dicom(tmp_path, cache=tmp_path / ".index")) == ["1.2.3"]
    assert list(index_dicom(tmp_path, cache=tmp_path / ".index")) == ["1.2.3"]


def test_an_index_that_is_interrupted_reads_no_further_and_remembers(kit, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    first = kit.write(folder / "000.dcm", kit.frames(1))
    for number in range(1, 400):
        os.link(first, folder / f"{number:03d}.dcm")
    read = []
    original = index.index_file
    monkeypatch.setattr(index, "index_file", lambda path, **more: read.append(path) or original(path, **more))

    def interrupted(entries):
        next(iter(entries))
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "EntryTable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index_dicom(folder, cache=tmp_path / "index.sqlite", workers=2)
    assert len(read) <= 17 * 8
    with open_cache(folder, tmp_path / "index.sqlite") as memory:
        assert 0 < len(list(memory.stamps())) <= len(read)


def test_many_fresh_files_are_read_by_processes_whatever_is_remembered(kit, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "MANY", 3)
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(4):
        kit.write(folder / f"{number}.dcm", kit.frames(1), elements={"SOPInstanceUID": f"1.2.{number}"})

    class Counting(ThreadPoolExecutor):
        asked = 0

        def submit(self, function, /, *args, **more):
            self.asked += 1
            return super().submit(function, *args, **more)

    with Counting(1) as pool:
        for touched, asked in ((4, 1), (0, 1), (4, 2), (2, 2)):
            for number in range(touched):
                os.utime(folder / f"{number}.dcm", ns=(asked, asked * 7 + touched))
            index_dicom(folder, cache=tmp_path / "index.sqlite", pool=pool)
            assert pool.asked == asked


def test_a_cache_that_is_damaged_in_the_middle_is_made_anew(kit, tmp_path):
    folder, cache = tmp_path / "study", tmp_path / "index.sqlite"
    folder.mkdir()
    first = kit.write(folder / "0.dcm", kit.frames(1))
    for number in range(1, 300):
        os.link(first, folder / f"{number}.dcm")
    found = index_dicom(folder, cache=cache)
    content = bytearray(cache.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xa5" * 8192
    cache.write_bytes(content)
    assert index_dicom(folder, cache=cache) == found
