"""The datastore: labels that stay on disk, whatever an image is called and whoever else saves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("monailabel")

from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.image_sources import FolderSource

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
