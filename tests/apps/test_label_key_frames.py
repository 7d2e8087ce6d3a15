"""Key frames are proposed first: found once a clip, each offered before the next image, none for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from clips import PLANES, ScriptedPredictor, script, textured, write_clip
from fetal_monai.errors import DicomReadError

pytest.importorskip("monailabel")

from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.image_sources import FolderSource, ImageFile
from fetal_monai.apps.label.key_frames import ClipKeyFrames
from fetal_monai.apps.label.strategies import KeyFrames, PredictiveEntropy

FRAMES = 100
SCRIPT = script((None, 20), ("Abdomen", 30), (None, 20), ("Femur", 30))
KEYS = [20, 70]  # the clips stand still, so that the first frame of a stretch is as good as any


class Model(ScriptedPredictor):
    """A scripted model that remembers which files it was shown, and is served."""

    def __init__(self, rows=SCRIPT):
        super().__init__(rows)
        self.shown: list[str] = []
        self.version = 0

    def predict(self, inputs, *, measure=None):
        inputs = list(inputs)
        self.shown += [item.path for item in inputs]
        return super().predict(inputs, measure=measure)

    def get(self):
        return self.version, self


@pytest.fixture
def clip(tmp_path) -> ImageFile:
    write_clip(tmp_path / "clip.dcm", textured(FRAMES, (8, 12)))
    return ImageFile(str(tmp_path / "clip.dcm"), FRAMES, "")


def test_key_frames_come_in_the_order_of_the_clip(clip):
    found = ClipKeyFrames(Model()).find(clip)
    assert [(key.plane, key.first, key.last, key.frame) for key in found] == [
        ("Abdomen", 20, 49, 20),
        ("Femur", 70, 99, 70),
    ]
    assert [key.confidence for key in found] == pytest.approx([0.96, 0.96])
    assert all(0 < key.score <= 1 for key in found)
    assert ClipKeyFrames(Model()).find(ImageFile(clip.path, 1, "")) == ()


def test_a_clip_is_analysed_once_however_many_ask(clip):
    model = Model()
    key_frames = ClipKeyFrames(model)
    together = threading.Barrier(4)

    def ask(_):
        together.wait()
        return key_frames.find(clip)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert answers == [answers[0]] * 4
    assert len(model.asked) == len(set(model.asked))
    model.version = 1
    key_frames.find(clip)
    assert len(model.asked) == 2 * len(set(model.asked))  # another model may see other planes


def test_few_clips_are_remembered(clip, tmp_path):
    write_clip(tmp_path / "other.dcm", textured(FRAMES, (8, 12)))
    model = Model()
    key_frames = ClipKeyFrames(model, remembered=1)
    for name in ("clip.dcm", "other.dcm", "other.dcm", "clip.dcm"):
        key_frames.find(ImageFile(str(tmp_path / name), FRAMES, ""))
    once = len(set(model.asked))
    assert [model.shown.count(str(tmp_path / name)) for name in ("clip.dcm", "other.dcm")] == [2 * once, once]


@pytest.mark.parametrize("fault", ["not DICOM", "no frame can be classified"])
def test_a_clip_that_cannot_be_analysed_is_told_without_its_folder(clip, tmp_path, fault):
    model = Model(np.full_like(SCRIPT, np.nan))
    if fault == "not DICOM":
        (tmp_path / "clip.dcm").write_bytes(b"nothing")
    key_frames = ClipKeyFrames(model)
    for _ in range(2):
        with pytest.raises(DicomReadError, match=r"^clip\.dcm: ") as caught:
            key_frames.find(clip)
        assert str(tmp_path) not in str(caught.value)
    assert len(model.asked) == len(set(model.asked)), "it is not tried again"


def test_what_is_not_the_clips_fault_is_tried_again(clip, monkeypatch):
    def fail(*_):
        raise MemoryError

    key_frames = ClipKeyFrames(Model())
    with monkeypatch.context() as patch:
        patch.setattr(Model, "predict", fail)
        with pytest.raises(MemoryError):
            key_frames.find(clip)
    assert [key.frame for key in key_frames.find(clip)] == KEYS


@dataclass
class Desk:
    """Someone who labels, with the strategy alone."""

    store: UltrasoundDatastore
    model: Model
    strategy: KeyFrames

    def next(self, **request) -> tuple[str, int] | None:
        offer = self.strategy({"strategy": "key_frames", **request}, self.store)
        return offer and (offer["id"], offer["frame"])

    def label(self, *places: tuple[str, int]) -> None:
        (image,) = {image for image, _ in places}
        sent = self.store.folder.parent / "sent.json"
        sent.write_text(json.dumps({"labels": [{"frame": frame, "class": "Femur"} for _, frame in places]}))
        self.store.save_label(image, str(sent), FINAL, {})


@pytest.fixture
def desk(request, tmp_path) -> Iterator[Desk]:
    """Two clips, as the model is told to see them, and two stills."""
    model = Model(getattr(request, "param", SCRIPT))
    (tmp_path / "studies").mkdir()
    for number, frames in enumerate((FRAMES, FRAMES, 1, 1)):
        write_clip(tmp_path / f"studies/{number}.dcm", textured(frames, (8, 12), seed=number))
    store = UltrasoundDatastore(FolderSource(tmp_path / "studies"), tmp_path / "labels", PLANES)
    return Desk(store, model, KeyFrames(ClipKeyFrames(model), PredictiveEntropy(model)))


def test_all_key_frames_of_a_clip_come_before_the_next_image(desk):
    offered = []
    said: dict[str, list[tuple[str, int]]] = {}
    while place := desk.next():
        offered.append(place)
        said.setdefault(place[0], []).append(place)
        desk.label(*said[place[0]])  # all of the image, as the page sends them
        assert len(offered) <= 6
    first, second = dict.fromkeys(image for image, _ in offered[:4])
    assert offered[:4] == [(image, frame) for image in (first, second) for frame in KEYS]
    assert {image for image, _ in offered[4:]} == set(desk.store.list_images()) - {first, second}
    assert [frame for _, frame in offered[4:]] == [-1, -1]


def test_one_request_analyses_one_clip(desk):
    place = desk.next()
    assert {desk.store.image(place[0]).path} == set(desk.model.shown)
    shown = len(desk.model.shown)
    desk.next()
    assert len(desk.model.shown) == shown


def test_what_is_skipped_comes_again_when_all_else_was_offered(desk):
    rounds = [[desk.next() for _ in range(6)] for _ in range(3)]
    assert len(set(rounds[0])) == 6
    assert rounds == [rounds[0]] * 3


def test_frames_with_a_label_are_left_out(desk):
    image, frame = desk.next()
    desk.label((image, frame), (image, KEYS[1]))  # someone went there by hand
    assert desk.next()[0] != image


def test_two_clients_get_different_clips(desk):
    ours, theirs = desk.next(client_id="a"), desk.next(client_id="b")
    assert ours[0] != theirs[0]
    desk.label(ours)
    desk.label(theirs)
    assert desk.next(client_id="a") == (ours[0], KEYS[1])
    assert desk.next(client_id="b") == (theirs[0], KEYS[1])


@pytest.mark.parametrize("desk", [script((None, FRAMES))], indirect=True)
def test_a_clip_without_key_frame_is_offered_at_its_middle(desk):
    offered = [desk.next() for _ in range(4)]
    assert [frame for _, frame in offered] == [49, 49, -1, -1]
    assert len({image for image, _ in offered}) == 4


def test_clips_that_cannot_be_analysed_are_passed_over(desk, caplog, monkeypatch):
    def fail(*_):
        raise DicomReadError("a.dcm", "damaged", "copy it")

    monkeypatch.setattr(ClipKeyFrames, "find", fail)
    offered = {desk.next()[0] for _ in range(4)}
    assert offered == set(desk.store.list_images()) - set(desk.store.list_clips())
    assert caplog.text.count("is not offered: a.dcm: damaged; copy it") == 2
