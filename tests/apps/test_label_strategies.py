"""Active learning by a score: what comes first, how much is looked at, and what is remembered."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, jensenshannon

from clips import PLANES
from fetal_monai.errors import DicomReadError, FetalMonaiError
from fetal_monai.inference import Prediction, ReadFailure
from made_predictions import IDENTITY

pytest.importorskip("monailabel")

from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.apps.label.labels import ImageLabels
from fetal_monai.apps.label.strategies import BranchDisagreement, DistanceToLabelled, PredictiveEntropy

EVERYTHING = 1000


class Store:
    """A datastore of stills (and of clips, by their number of frames) that exist in name only."""

    def __init__(self, ids, frames=None):
        self.ids, self.frames, self.made, self.info = list(ids), frames or {}, {}, {}

    def image(self, image_id):
        return ImageFile(image_id, self.frames.get(image_id, 1), "")

    def labels(self, tag="final"):  # noqa: ARG002
        return self.made

    def get_labeled_images(self, tag=None, labels=None):  # noqa: ARG002
        return list(self.made)

    def get_unlabeled_images(self, tag=None, labels=None):  # noqa: ARG002
        return [image_id for image_id in self.ids if image_id not in self.made]

    def get_image_info(self, image_id):
        return self.info.get(image_id, {})

    def label(self, image_id, frame=-1):
        self.made[image_id] = ImageLabels({frame: "Femur"}, "train", "")

    def note_offer(self, image_id, strategy="x"):
        """As MONAI Label notes it."""
        self.info[image_id] = {"strategy": {strategy: {"ts": len(self.info) + 1}}}


class Model:
    """Says of each frame what it was told to say, is served, and counts."""

    def __init__(self, says):
        self.says, self.version, self.asked = says, 0, []

    def get(self):
        return self.version, self

    def predict(self, references):
        for said in self.look_inside(references, None):
            failed = isinstance(said, ReadFailure)
            yield said if failed else Prediction("", "1", -1, said, PLANES, None, IDENTITY)

    def look_inside(self, references, function):  # noqa: ARG002
        for reference in references:
            self.asked.append((reference.path, reference.frame))
            yield self.says.get((reference.path, reference.frame), self.says.get(reference.path))


def offer(strategy, store, pool=EVERYTHING):
    return strategy({"strategy": "x", "pool": pool}, store)


names = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=9, unique=True)
numbers = st.integers(0, 10)
SHAPES = {PredictiveEntropy: (3,), BranchDisagreement: (2, 3), DistanceToLabelled: (2,)}


@given(
    st.data(), names, st.sampled_from([PredictiveEntropy, BranchDisagreement, DistanceToLabelled]), st.integers(1, 9)
)
def test_the_order_of_the_pool_plays_no_part(data, ids, kind, pool):
    shape = SHAPES[kind]
    says = {}
    for image_id in ids:
        row = np.array(data.draw(st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape))), float)
        says[image_id] = row if kind is DistanceToLabelled else (row + 1).reshape(shape)
        if kind is not DistanceToLabelled:
            says[image_id] /= says[image_id].sum(axis=-1, keepdims=True)
    labelled = data.draw(st.sets(st.sampled_from(ids), max_size=len(ids) - 1))
    answers = []
    for order in (ids, data.draw(st.permutations(ids))):
        store = Store(order)
        for image_id in [image_id for image_id in order if image_id in labelled]:
            store.label(image_id)
        answers.append(offer(kind(Model(says)), store, pool))
    first, second = answers
    assert first["id"] not in labelled
    assert (first["id"], first["frame"]) == (second["id"], second["frame"])
    assert first["weight"] == pytest.approx(second["weight"], abs=1e-6)
    most = {PredictiveEntropy: math.log(3), BranchDisagreement: math.log(2), DistanceToLabelled: math.inf}[kind]
    assert 0 <= first["weight"] <= most + 1e-12


def test_the_branches_that_differ_most_come_first():
    says = {
        "unsure": np.full((2, 3), 1 / 3),
        "at odds": np.array([[1.0, 0, 0], [0, 1.0, 0]]),
        "half": np.array([[1.0, 0, 0], [0.5, 0.5, 0]]),
    }
    strategy, store = BranchDisagreement(Model(says)), Store(says)
    for expected in ("at odds", "half", "unsure"):
        found = offer(strategy, store)
        assert found["id"] == expected
        assert found["weight"] == pytest.approx(jensenshannon(*says[expected]) ** 2, abs=1e-9)
        store.label(expected)
    assert offer(strategy, store) is None


@pytest.mark.parametrize("then", ["label", "note_offer"])
@given(points=st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12))
def test_distance_is_k_centre_greedy_by_brute_force(then, points):
    says = {f"{k:02}": np.array(point, np.float64) for k, point in enumerate(points)}
    strategy, store, taken = DistanceToLabelled(Model(says)), Store(says), []
    for _ in points:
        found = offer(strategy, store)
        centres = [says[image_id] for image_id in taken] or [np.mean(points, axis=0)]
        nearest = dict(zip(says, cdist(list(says.values()), centres).min(axis=1), strict=True))
        assert found["id"] not in taken
        assert found["weight"] == pytest.approx(nearest[found["id"]], abs=1e-5)
        assert found["weight"] == pytest.approx(max(nearest[key] for key in says if key not in taken), abs=1e-5)
        taken.append(found["id"])
        getattr(store, then)(found["id"])  # what is skipped counts as known, too
    if then == "note_offer":
        assert offer(strategy, store)["id"] == taken[0], "the second round begins as the first did"


def test_only_frames_with_a_label_count_as_labelled():
    says = {("clip", k): np.array([10.0 * k, 0]) for k in range(9)} | {
        "near": np.array([20, 0]),
        "far": np.array([79, 0]),
    }
    store = Store(["clip", "near", "far"], {"clip": 9})
    store.label("clip", 2)
    model = Model(says)
    assert offer(DistanceToLabelled(model), store) == {"id": "far", "frame": -1, "weight": pytest.approx(59)}
    assert sorted(model.asked) == [("clip", 2), ("far", -1), ("near", -1)]


def test_a_clip_is_judged_by_its_most_telling_frame():
    says = {("clip", k): np.array([0.8, 0.1, 0.1]) for k in range(9)} | {"still": np.array([0.6, 0.2, 0.2])}
    says["clip", 6] = np.full(3, 1 / 3)
    found = offer(PredictiveEntropy(Model(says)), Store(["clip", "still"], {"clip": 9}))
    assert found == {"id": "clip", "frame": 6, "weight": pytest.approx(math.log(3))}


KINDS = pytest.mark.parametrize("kind", [PredictiveEntropy, DistanceToLabelled])


@KINDS
def test_a_request_looks_at_few_and_remembers_until_another_model_is_served(kind):
    ids = [str(k) for k in range(30)]
    model, store = Model({image_id: np.array([0.5, 0.25, 0.25]) for image_id in ids}), Store(ids)
    strategy = kind(model)
    assert offer(strategy, store, pool=0) is None
    for seen in (10, 20, 30, 30):
        offer(strategy, store, pool=10)
        assert len(model.asked) == len(set(model.asked)) == seen
    model.version = 1
    offer(strategy, store, pool=10)
    assert len(model.asked) == 40


def test_labels_from_before_are_looked_at_a_few_at_a_time_and_leave_room_for_the_rest():
    ids = [str(k) for k in range(40)]
    model, store = Model({image_id: np.array([float(image_id), 0]) for image_id in ids}), Store(ids)
    for image_id in ids[:30]:
        store.label(image_id)
    strategy = DistanceToLabelled(model)
    for labelled, others in ((4, 4), (8, 8), (12, 10)):
        assert offer(strategy, store, pool=4)["id"] in ids[30:]
        asked = {path for path, _ in model.asked}
        assert (len(asked & set(ids[:30])), len(asked & set(ids[30:]))) == (labelled, others)
    assert offer(strategy, store)["id"] == "39"


@KINDS
def test_what_cannot_be_read_is_never_offered_nor_tried_again(kind, caplog, monkeypatch):
    model = Model({"nan": ReadFailure("nan", "the network gives NaN"), "good": np.array([0.5, 0.25, 0.25])})
    store = Store(["nan", "damaged", "good"])

    def image(image_id):
        if image_id == "damaged":
            raise DicomReadError("damaged.dcm", "damaged", "copy it")
        return ImageFile(image_id, 1, "")

    monkeypatch.setattr(store, "image", image)
    strategy = kind(model)
    for _ in range(2):
        assert offer(strategy, store)["id"] == "good"
    assert caplog.text.count("damaged is not offered: damaged.dcm: damaged; copy it") == 1
    assert caplog.text.count("nan: the network gives NaN") == 1
    store.label("damaged")
    store.label("nan")
    assert offer(strategy, store)["id"] == "good"


def test_an_archive_that_does_not_answer_is_asked_again(monkeypatch):
    store = Store(["a"])
    strategy = PredictiveEntropy(Model({"a": np.array([0.5, 0.25, 0.25])}))
    with monkeypatch.context() as patch:
        patch.setattr(store, "image", lambda _: (_ for _ in ()).throw(FetalMonaiError("no answer")))
        with pytest.raises(FetalMonaiError, match="no answer"):
            offer(strategy, store)
    assert offer(strategy, store)["id"] == "a"


def test_networks_that_cannot_be_asked_are_told_from_those_that_can():
    one, two = SimpleNamespace(forward_features=None), SimpleNamespace(forward_features=None, branch_logits=None)
    assert [BranchDisagreement.fits(each) for each in (one, two)] == [False, True]
    assert [DistanceToLabelled.fits(each) for each in (SimpleNamespace(), one)] == [False, True]
