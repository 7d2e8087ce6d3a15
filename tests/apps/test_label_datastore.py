"""The datastore: labels that stay on disk, whatever an image is called and whoever else saves."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data import load_datalists
from fetal_monai.errors import DicomReadError

pytest.importorskip("monailabel")

from fetal_monai.apps.label.dataset import pack
from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.file_names import LONGEST, file_name
from fetal_monai.apps.label.image_sources import FolderSource
from fetal_monai.apps.label.train import write_data

CLASSES = ("Femur", "Other", "Spine")


def open_store(folder: Path, *pictures: str) -> UltrasoundDatastore:
    """A datastore of pictures, which are made where they are not there yet."""
    for picture in pictures:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        (folder / picture).write_bytes(cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    return UltrasoundDatastore(FolderSource(folder), folder / "labels", CLASSES)


def label(store: UltrasoundDatastore, image: str, name: str = "Femur", tag: str = FINAL) -> None:
    sent = store.folder.parent / "sent.json"
    sent.write_text(json.dumps({"labels": [{"class": name}]}))
    store.save_label(image, str(sent), tag, {})


class Interrupted(dict):
    """Ids of images: whoever looks one up is interrupted once."""

    def __init__(self, ids, interrupt):
        super().__init__(ids)
        self._interrupt = interrupt

    def __contains__(self, image_id):
        interrupt, self._interrupt = self._interrupt, None
        if interrupt:
            interrupt()
        return super().__contains__(image_id)


READS = {
    **{name: getattr(UltrasoundDatastore, name) for name in ("labels", "status", "json", "datalist", "to_csv")},
    "get_labels_by_image_id": lambda store: store.get_labels_by_image_id("a.png"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reading_goes_on_while_others_save_and_remove(tmp_path, read):
    store = open_store(tmp_path, "a.png", "b.png", "c.png")

    def save():
        for image, tag in (("b.png", FINAL), ("c.png", FINAL), ("a.png", "draft")):
            label(store, image, tag=tag)

    label(store, "a.png")
    ids = store._ids
    for interrupt in (save, lambda: store.remove_label("b.png", FINAL)):
        store._ids = Interrupted(ids, interrupt)
        assert read(store)
    assert store.status()["label_tags"] == {FINAL: 2, "draft": 1}


def test_what_a_killed_save_leaves_behind_is_no_label(tmp_path):
    label(open_store(tmp_path, "a.png"), "a.png")
    (tmp_path / "labels/final/.b.png.1a2b3c4d.json").touch()
    (tmp_path / "labels/.final.9f").mkdir()
    (tmp_path / "labels/.final.9f/a.png.json").touch()
    assert list(open_store(tmp_path).labels()) == ["a.png"]


CYRILLIC = "Исследование плода 2024-05-17/Поперечное сечение головки.png"


@pytest.mark.parametrize(
    "picture", [CYRILLIC, CYRILLIC.replace("17", "18"), f"{'x' * 200}/{'y' * 200}.PNG", "a b/é.jpeg"]
)
def test_an_image_is_labelled_and_trained_on_whatever_its_path_is(tmp_path, picture):
    label(open_store(tmp_path, picture, CYRILLIC, "a.png"), picture, "Spine")
    store = open_store(tmp_path)  # as after a restart
    assert store.labels()[picture].frames == {-1: "Spine"}
    assert json.loads(store.get_label(picture, FINAL).read())["labels"][0]["class"] == "Spine"
    assert picture in (tmp_path / "labels/annotations.csv").read_text(encoding="utf-8")

    write_data(tmp_path / "data", store.labels(), {picture: store.image(picture)}, CLASSES)
    items = load_datalists(tmp_path / "data/annotations.csv", tmp_path / "data/images", CLASSES, splits=())["train"]
    assert Path(items[0]["image"].path).resolve() == tmp_path / picture

    store.remove_label(picture, FINAL)
    assert not open_store(tmp_path).labels()
    assert not list((tmp_path / "labels/final").iterdir())


@pytest.mark.parametrize("picture", ["p 1/a+b.png", "Плод/" * 8 + "a.png"])
def test_labels_of_earlier_versions_are_read_and_replaced(tmp_path, picture):
    file = tmp_path / f"labels/final/{quote(picture, safe='')}.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"labels": [{"frame": -1, "class": "Femur"}], "split": "val"}')
    store = open_store(tmp_path, picture)
    label(store, picture, "Spine")
    assert list(file.parent.iterdir()) == [file]
    labels = open_store(tmp_path).labels()[picture]
    assert (labels.frames, labels.split) == ({-1: "Spine"}, "val")


def test_a_dataset_leaves_nothing_behind(tmp_path, monkeypatch):
    temporary, studies = tmp_path / "tmp", tmp_path / "studies"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    store = open_store(studies, CYRILLIC, "b.png")
    for picture in ("b.png", CYRILLIC):
        label(store, picture, "Spine")
    with pack(store) as file, zipfile.ZipFile(file) as archive:
        assert not list(temporary.iterdir()), "not even while it is there"
        archive.extractall(tmp_path / "home")
    items = load_datalists(tmp_path / "home/annotations.csv", tmp_path / "home", CLASSES, splits=())
    assert [item["class"] for split in items.values() for item in split] == ["Spine", "Spine"]

    (studies / CYRILLIC).unlink()  # the second of the two
    with pytest.raises(DicomReadError, match="No such file"):
        pack(store)
    assert not list(temporary.iterdir())


@given(st.sets(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=2))
def test_names_of_files_are_short_visible_and_unlike(ids):
    names = {file_name(image_id) for image_id in ids}
    assert len(names) == len(ids)
    assert all(len(name) <= LONGEST and name.isascii() and "/" not in name and name[0] != "." for name in names)


def test_a_name_that_is_no_utf8_stops_no_server():
    assert file_name(os.fsdecode(b"caf\xe9.png")) == "caf%E9.png"
