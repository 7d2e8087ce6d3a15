"""Without Ray: each file is listed once, what is written is what the predictor says, what is done stays done."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from fetal_monai.dicom import index_dicom
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.shards import listing
from fetal_monai.shards.journal import Journal, withdraw_attempts
from fetal_monai.shards.listing import Part, digest, list_parts, source_of
from fetal_monai.shards.table import claim, done_files, schema
from fetal_monai.shards.worker import PartClassifier

NOTHING = np.zeros(0, np.uint64)


def known(names):
    return np.unique(np.array([digest(source_of(str(name))) for name in names], np.uint64))


@pytest.fixture
def tree(tmp_path):
    """Forty files at several depths, hidden ones, a loop, a name that is no UTF-8."""
    names = [f"{number % 3}/{number % 2}/{number}.dcm" for number in range(39)]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    odd = os.fsdecode(b"\xe9\xff.dcm")
    (tmp_path / "in" / odd).write_bytes(b"x")
    (tmp_path / "in/.hidden").write_bytes(b"x")
    (tmp_path / "in/.folder").mkdir()
    (tmp_path / "in/.folder/a.dcm").write_bytes(b"x")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    return tmp_path / "in", {str(tmp_path / "in" / name) for name in [*names, odd]}


def test_each_file_is_in_one_part(tree):
    folder, names = tree
    parts = list(list_parts([folder], NOTHING))
    files = [file for part in parts for file in part.files]
    assert len(files) == len(names)
    assert set(files) == names
    assert [len(part.files) for part in parts] == [16, 16, 8]
    assert all(Part.from_json(part.to_json()) == part for part in parts)
    assert len({part.name for part in parts}) == 3


def test_a_file_that_is_in_two_inputs_counts_once(tree):
    folder, names = tree
    one = next(iter(names))
    inputs = [folder / "1", folder, folder / "1" / "0", one, one]
    files = [file for part in list_parts(inputs, NOTHING) for file in part.files]
    assert files[0] == one
    assert sorted(files) == sorted(names)
    hidden = [file for part in list_parts([folder, folder / ".folder"], NOTHING) for file in part.files]
    assert sorted(hidden) == sorted([*names, str(folder / ".folder/a.dcm")]), (
        "named, though the outer one passes over it"
    )


def test_what_is_done_is_left_out_and_what_is_named_comes_first(tree, tmp_path):
    folder, names = tree
    some = sorted(names)[:7]
    (tmp_path / "single").write_bytes(b"x")
    parts = list(list_parts([folder, tmp_path / "single"], known(some)))
    assert (parts[0].files, parts[0].named) == ((str(tmp_path / "single"),), 1)
    assert {file for part in parts[1:] for file in part.files} == names - set(some)
    assert all(part.named == 0 for part in parts[1:])
    assert list(list_parts([folder], known(names))) == []


def test_parts_grow(monkeypatch):
    monkeypatch.setattr(listing, "list_files", lambda _: ((f"{number}", None) for number in range(200_000)))
    sizes = [len(part.files) for part in list_parts(["."], NOTHING)]
    assert sizes[0] == listing.FIRST_PART
    assert max(sizes) == listing.LARGEST_PART
    assert sizes[:-1] == sorted(sizes[:-1])
    assert sum(sizes) == 200_000


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda name: b"\0" not in name), min_size=1, unique=True))
def test_names_of_any_bytes_travel(names):
    part = Part(tuple(os.fsdecode(name) for name in names))
    assert Part.from_json(json.loads(json.dumps(part.to_json()))) == part
    assert [os.fsencode(name) for name in Part.from_json(part.to_json()).files] == names
    source_of(part.files[0]).encode()  # goes into any table


class TestJournal:
    def test_an_attempt_that_ends_leaves_nothing(self, tmp_path):
        journal = Journal(tmp_path / "a/b")
        journal.at(0)
        journal.close()
        assert not Journal(tmp_path / "a/b").careful

    def test_dying_at_different_files_gives_none_up(self, tmp_path):
        for number in range(9):
            journal = Journal(tmp_path / "a")
            assert not journal.deadly
            journal.at(number)

    def test_two_files_may_be_deadly(self, tmp_path):
        for number in (5, 5, 5, 8, 8):
            journal = Journal(tmp_path / "a")
            journal.at(number)
        assert Journal(tmp_path / "a").deadly == {5, 8}

    def test_who_dies_after_a_file_does_not_die_of_it(self, tmp_path):
        for _ in range(5):
            journal = Journal(tmp_path / "a")
            assert not journal.deadly
            journal.at(3)
            journal.after()

    def test_attempts_that_are_taken_back_blame_nobody(self, tmp_path):
        def death():
            Journal(tmp_path / "a").at(3)

        for _ in range(4):
            journal = Journal(tmp_path / "a")
            assert not journal.careful
            journal.withdraw()
        assert not list(tmp_path.iterdir())
        death()  # the first is careful from its second attempt on
        death()
        for stopped in (lambda journal: journal.withdraw(), lambda _: withdraw_attempts(tmp_path)):
            for _ in range(4):
                journal = Journal(tmp_path / "a")
                assert journal.careful
                assert not journal.deadly
                journal.at(3)
                stopped(journal)
        death()
        assert Journal(tmp_path / "a").deadly == {3}
        withdraw_attempts(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def mixed(phantom, tmp_path_factory):
    """Stills, a clip, and what is none or broken."""
    folder = tmp_path_factory.mktemp("mixed") / "in"
    folder.mkdir()
    entries = list(index_dicom(phantom).values())
    for entry in [entry for entry in entries if entry.frames == 1][:20] + [e for e in entries if e.frames > 1][:1]:
        shutil.copy(entry.path, folder)
    still = next(entry.path for entry in entries if entry.frames == 1)
    (folder / "cut.dcm").write_bytes(Path(still).read_bytes()[:100])
    clip = next(entry.path for entry in entries if entry.frames > 1)
    whole = Path(clip).read_bytes()
    (folder / "half.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / "notes.txt").write_text("not an image")
    return folder


class TestWorker:
    @pytest.fixture
    def classifier(self, model_dir, tmp_path):
        pytest.importorskip("pyarrow", reason="fetal_monai[ray] is not installed")
        (tmp_path / "out").mkdir()
        return PartClassifier(
            model_dir, tmp_path / "out", "cpu", batch_size=8, workers=2, engine="torch"
        ), tmp_path / "out"

    def rows(self, out):
        parquet = pytest.importorskip("pyarrow.parquet")
        return [row for path in sorted(out.glob("part-*")) for row in parquet.read_table(path).to_pylist()]

    def test_a_row_for_each_image_and_each_file_without(self, classifier, mixed, model_dir):
        worker, out = classifier
        (part, *more) = list_parts([mixed], NOTHING)
        counts = [worker.do(item) for item in (part, *more)]
        rows = self.rows(out)
        expected = {}
        files = sorted(str(path) for path in mixed.iterdir() if path.suffix == ".dcm" and path.name != "ct.dcm")
        for found in Predictor(model_dir, "cpu").predict(files):
            if hasattr(found, "probabilities"):
                expected[found.source, found.frame] = found
        classified = {(row["source"], row["frame"]): row for row in rows if row["state"] == "classified"}
        assert classified.keys() == expected.keys()
        assert sum(count.images for count in counts) == len(expected)
        for key, row in classified.items():
            found = expected[key]
            one = found.to_dict(with_identity=False)
            for name in ("sop_instance_uid", "label", "top", "conformal_set", "out_of_distribution"):
                assert row[name] == one[name]
            np.testing.assert_allclose([row[name] for name in found.class_names], found.probabilities, atol=1e-6)
        others = {(Path(row["source"]).name, row["state"]) for row in rows if row["state"] != "classified"}
        assert others == {
            ("cut.dcm", "failed"),
            ("half.dcm", "failed"),
            ("ct.dcm", "passed over"),
            ("notes.txt", "passed over"),
        }
        assert all(row["reason"] for row in rows if row["state"] != "classified")
        assert list(list_parts([mixed], done_files(out))) == []
        assert not list((out / ".journal").iterdir())

    def test_a_part_that_is_there_is_not_done_again(self, classifier, mixed, monkeypatch):
        worker, _ = classifier
        part = Part((str(mixed / "notes.txt"), str(mixed / "ct.dcm")))
        first = worker.do(part)
        monkeypatch.setattr(worker, "_rows", lambda *_: pytest.fail("done again"))
        assert worker.do(part) == first

    def test_a_file_that_kills_is_left_out_the_others_are_done(self, classifier, mixed):
        worker, out = classifier
        part = Part(tuple(sorted(str(path) for path in mixed.iterdir()))[:5])
        for _ in range(3):
            Journal(out / ".journal" / part.name).at(2)
        assert worker.do(part).failed == 1
        (row,) = [row for row in self.rows(out) if row["state"] == "failed"]
        assert row["source"] == part.files[2]
        assert "3 workers died over it" in row["reason"]

    def test_a_full_disk_is_told(self, classifier, mixed, monkeypatch):
        worker, _ = classifier

        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        part = Part((str(mixed / "notes.txt"),))
        with monkeypatch.context() as disk:
            disk.setattr("fetal_monai.shards.table.atomic_path", full)
            for _ in range(4):
                with pytest.raises(InputError, match="cannot be written: No space left on device; make room"):
                    worker.do(part)
        assert worker.do(part).failed == 0, "no file is to blame for the disk"


class TestFolder:
    @pytest.fixture(autouse=True)
    def table(self):
        pytest.importorskip("pyarrow", reason="fetal_monai[ray] is not installed")

    def test_another_model_is_refused(self, tmp_path):
        assert claim(tmp_path / "out", {"model": 1}, overwrite=False) == tmp_path / "out"
        (tmp_path / "out/part-1.parquet").write_bytes(b"x")
        (tmp_path / "out/.part-1.xyz.parquet").write_bytes(b"half")
        (tmp_path / "out/.listing-x").mkdir()
        claim(tmp_path / "out", {"model": 1}, overwrite=False)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["archive.json", "part-1.parquet"]
        with pytest.raises(InputError, match="holds predictions of another model; name another folder"):
            claim(tmp_path / "out", {"model": 2}, overwrite=False)
        assert (tmp_path / "out/part-1.parquet").exists()
        (tmp_path / "out/.journal").mkdir()
        claim(tmp_path / "out", {"model": 2}, overwrite=True)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["archive.json"]

    def test_a_model_may_be_called_otherwise_and_not_be_another(self, tmp_path):
        claim(tmp_path / "out", {"model": {"name": "Net", "version": "0.1", "weights_sha256": "a"}}, overwrite=False)
        claim(tmp_path / "out", {"model": {"name": "planes", "version": "1", "weights_sha256": "a"}}, overwrite=False)
        with pytest.raises(InputError, match="another model"):
            claim(
                tmp_path / "out", {"model": {"name": "Net", "version": "0.1", "weights_sha256": "b"}}, overwrite=False
            )

    def test_what_is_not_ours_stays(self, tmp_path):
        (tmp_path / "thesis.doc").write_text("the only copy")
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"holds other files \(thesis.doc\)"):
                claim(tmp_path, {}, overwrite=overwrite)
        (tmp_path / "thesis.doc").rename(tmp_path / "part-1.parquet")
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"holds parts without archive\.json"):
                claim(tmp_path, {}, overwrite=overwrite)
        assert (tmp_path / "part-1.parquet").read_text() == "the only copy"
        with pytest.raises(InputError, match="cannot be used"):
            claim(tmp_path / "part-1.parquet", {}, overwrite=False)

    def test_a_damaged_part_is_named(self, tmp_path):
        (tmp_path / "part-1.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(InputError, match=r"part-1\.parquet: 1 problem\n  cannot be read .+; delete it"):
            done_files(tmp_path)

    def test_a_class_called_like_a_column(self):
        with pytest.raises(InputError, match="'label' is the name of another column"):
            schema(["Femur", "label"])
