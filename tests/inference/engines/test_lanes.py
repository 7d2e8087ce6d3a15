"""Several batches beside each other: the same answers, in the same order; other engines take one after the other."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
import torch

from fetal_monai.dicom import index_dicom
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.inference.engines.engine import installed

LANES = 3
pytestmark = [pytest.mark.thorough, pytest.mark.skipif(not installed("openvino"), reason="the extra `engines`")]


@pytest.fixture(scope="module")
def images(phantom):
    stills = [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1]
    return [*stills[:20], "nowhere.dcm", *stills[20:]]


@pytest.fixture(scope="module")
def make(model_dir):
    def predictor(**options):
        threads = torch.get_num_threads()
        torch.set_num_threads(LANES)
        try:
            return Predictor(model_dir, device="cpu", batch_size=2, **options)
        finally:
            torch.set_num_threads(threads)

    return predictor


@pytest.fixture(scope="module")
def beside(make):
    return make(engine="openvino", throughput=True)


def test_answers_are_those_of_one_after_the_other(make, beside, images):
    alone = make(engine="openvino")
    assert (alone.engine.lanes, beside.engine.lanes) == (1, LANES)
    assert alone.engine.name == beside.engine.name
    expected, found = list(alone.predict(images)), list(beside.predict(images))
    assert len(found) == len(images)
    assert isinstance(found[20], ReadFailure)
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(mine, ReadFailure):
            assert mine == theirs
            continue
        assert mine.source == theirs.source
        assert np.abs(mine.probabilities - theirs.probabilities).max() < 1e-6
    assert len({tuple(item.probabilities) for item in found if not isinstance(item, ReadFailure)}) > 5


def test_as_many_batches_as_lanes_are_in_work_at_once(beside, images, monkeypatch):
    forward, all_here = beside.engine.forward, threading.Barrier(LANES)

    def meeting(batch):
        all_here.wait(timeout=60)  # raises where a batch is alone
        return forward(batch)

    monkeypatch.setattr(beside.engine, "forward", meeting)
    stills = [image for image in images if image != "nowhere.dcm"]
    stills = stills[: 4 * LANES]  # two rounds of batches of two
    assert len(list(beside.predict(stills))) == len(stills)


def test_who_stops_early_leaves_no_thread_behind(beside, images):
    before = threading.active_count()
    found = beside.predict(itertools.cycle(images))
    assert next(found).source == images[0]
    found.close()
    assert threading.active_count() == before


def test_what_goes_wrong_in_a_lane_is_raised(beside, images, monkeypatch):
    def broken(batch):
        raise MemoryError("no room")

    monkeypatch.setattr(beside.engine, "forward", broken)
    with pytest.raises(MemoryError, match="no room"):
        list(beside.predict(images))


def test_pytorch_takes_one_batch_after_the_other(make):
    assert make(engine="torch", throughput=True).engine.lanes == 1
