"""Several batches beside each other: the same answers, in the same order; other engines take one after the other."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from fetal_monai.dicom import index_dicom
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.engines.engine import installed
from fetal_monai.inference.engines.mirrored import MirroredEngine
from fetal_monai.results import predict_to_folder
from fetal_monai.study.grouping import group_studies
from fetal_monai.study.study import analyse_studies

LANES = 3
pytestmark = [pytest.mark.thorough, pytest.mark.skipif(not installed("openvino"), reason="the extra `engines`")]


@pytest.fixture(scope="module")
def images(phantom):
    stills = [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1]
    return [*stills[:20], "nowhere.dcm", *stills[20:]]


@pytest.fixture(scope="module")
def make(model_dir):
    def predictor(**options: Any):
        threads = torch.get_num_threads()
        torch.set_num_threads(LANES)
        try:
            return Predictor(options.pop("model", model_dir), device="cpu", batch_size=2, **options)
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
    before, taken = threading.active_count(), itertools.count()
    found = beside.predict(image for image in itertools.cycle(images) if next(taken) >= 0)
    assert next(found).source == images[0]
    found.close()
    assert threading.active_count() == before
    assert next(taken) <= (LANES + 4) * beside.batch_size, "a few batches ahead at most"


def test_what_goes_wrong_in_a_lane_is_raised(beside, images, monkeypatch):
    def broken(batch):
        raise MemoryError("no room")

    monkeypatch.setattr(beside.engine, "forward", broken)
    with pytest.raises(MemoryError, match="no room"):
        list(beside.predict(images))


def test_two_threads_share_them(beside, images):
    expected = list(beside.predict(images))
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: list(beside.predict(images)), range(2)):
            assert [item.source for item in found] == [item.source for item in expected]
            for mine, theirs in zip(found, expected, strict=True):
                if not isinstance(mine, ReadFailure):
                    assert np.abs(mine.probabilities - theirs.probabilities).max() < 1e-6


def test_images_in_doubt_are_averaged_in_each(make, images):
    alone, beside = (make(model=None, engine="openvino", throughput=many) for many in (False, True))
    assert isinstance(beside.engine, MirroredEngine)
    for mine, theirs in zip(beside.predict(images), alone.predict(images), strict=True):
        if not isinstance(mine, ReadFailure):
            assert np.abs(mine.probabilities - theirs.probabilities).max() < 1e-5


def test_a_study_with_a_clip_is_the_same(make, beside, phantom):
    groups, _ = group_studies(find_images([phantom]))
    with_clips = [files for files in groups if files.clips][:2]
    assert with_clips
    alone = make(engine="openvino")
    for mine, theirs in zip(analyse_studies(with_clips, beside), analyse_studies(with_clips, alone), strict=True):
        assert [item.source for item in mine.predictions] == [item.source for item in theirs.predictions]
        assert [clip.segments for clip in mine.clips] == [clip.segments for clip in theirs.clips]
        for one, other in zip(mine.predictions, theirs.predictions, strict=True):
            assert np.abs(one.probabilities - other.probabilities).max() < 1e-6


def test_many_files_are_predicted_in_lanes(make, model_dir, phantom, tmp_path, monkeypatch):
    asked = []

    class Watched(Predictor):
        def __init__(self, *arguments, **options):
            asked.append(options["throughput"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(predict_to_folder, "Predictor", Watched)
    still = next(entry.path for entry in index_dicom(phantom).values() if entry.frames == 1)
    predict_to_folder.predict_to_folder([still], model_dir, tmp_path / "out", engine="torch")
    assert asked == [True]


def test_pytorch_takes_one_batch_after_the_other(make):
    assert make(engine="torch", throughput=True).engine.lanes == 1
