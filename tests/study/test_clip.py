"""A clip to its planes, few frames looked at: what is found is what was put in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clips import ScriptedPredictor, script, textured, write_clip
from fetal_monai.errors import DicomReadError
from fetal_monai.inference import ReadFailure
from fetal_monai.study import clip as clip_module
from fetal_monai.study.clip import LOOK_EVERY, _first_looks, analyse_clip


@pytest.fixture(scope="module")
def still_clip(tmp_path_factory):
    """300 frames that stand still, so that the script alone decides."""
    path = tmp_path_factory.mktemp("clips") / "clip.dcm"
    write_clip(path, textured(300, (8, 12)))
    return str(path)


SCRIPT = script((None, 31), ("Abdomen", 60), (None, 20), ("Femur", 45), ("Abdomen", 33), (None, 4), ("Other", 107))


def test_segments_are_where_they_were_put(still_clip):
    predictor = ScriptedPredictor(SCRIPT)
    clip = analyse_clip(still_clip, predictor)
    found = [(segment.plane, segment.first, segment.last) for segment in clip.segments]
    assert found == [("Abdomen", 31, 90), ("Femur", 111, 155), ("Abdomen", 156, 188), ("Other", 193, 299)]
    first = clip.segments[0]
    assert (first.start, first.end) == pytest.approx((31 * 0.04, 91 * 0.04))
    assert all(segment.first <= segment.key_frame.frame <= segment.last for segment in clip.segments)
    assert all(segment.confidence == pytest.approx(0.96) for segment in clip.segments)
    assert len(predictor.asked) == len(set(predictor.asked)) == len(clip.predictions) < 120
    every = analyse_clip(still_clip, ScriptedPredictor(SCRIPT), every_frame=True)
    assert list(every.predictions) == list(range(300))
    assert [(s.plane, s.first, s.last, s.key_frame.frame) for s in every.segments] == [
        (s.plane, s.first, s.last, s.key_frame.frame) for s in clip.segments
    ]


@pytest.mark.thorough
@given(st.lists(st.tuples(st.sampled_from(["Abdomen", "Femur"]), st.integers(12, 40), st.integers(10, 25)), max_size=4))
def test_few_looks_find_what_all_frames_find(still_clip, parts):
    rows = script((None, 20), *(piece for plane, held, pause in parts for piece in ((plane, held), (None, pause))))
    rows = np.concatenate([rows, script((None, 300))])[:300]
    few, all_ = (analyse_clip(still_clip, ScriptedPredictor(rows), every_frame=every) for every in (False, True))
    assert [(s.plane, s.first, s.last, s.key_frame.frame) for s in few.segments] == [
        (s.plane, s.first, s.last, s.key_frame.frame) for s in all_.segments
    ]


def test_a_flicker_is_no_plane_and_does_not_cut_one(still_clip):
    rows = script(("Abdomen", 100), (None, 200))
    rows[50:53] = script(("Femur", 3))
    rows[200:204] = script(("Femur", 4))
    clip = analyse_clip(still_clip, ScriptedPredictor(rows), every_frame=True)
    assert [(s.plane, s.first, s.last) for s in clip.segments] == [("Abdomen", 0, 99)]


def test_the_sharpest_and_stillest_frame_is_the_key_frame(tmp_path):
    frames = np.stack([np.full((60, 80), 100, np.uint8)] * 60)
    frames[40:45, 20:40:2] = 255  # the only detail
    write_clip(tmp_path / "clip.dcm", frames)
    (segment,) = analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(script(("Femur", 60)))).segments
    assert segment.key_frame.frame == 41  # 40 and 44 have another neighbour
    assert (segment.merit.sharpness, segment.merit.stability) == (1, 1)


def test_for_what_is_no_plane_no_better_frame_is_looked_for(still_clip):
    asked = {}
    for plane in ("Femur", "Other"):
        predictor = ScriptedPredictor(script((plane, 300)) * 0.7)  # so unsure that any frame might be better
        (segment,) = analyse_clip(still_clip, predictor).segments
        assert segment.plane == plane
        asked[plane] = len(predictor.asked)
    assert asked["Femur"] == 300
    assert asked["Other"] < 70


def test_variable_frame_rates(tmp_path):
    steps = [0, *([10] * 59), *([100] * 60)]
    write_clip(tmp_path / "clip.dcm", textured(120, (8, 12)), FrameTimeVector=steps, FrameTime=None)
    rows = script((None, 30), ("Femur", 20), (None, 30), ("Femur", 20), (None, 20))
    clip = analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(rows))
    (segment,) = clip.segments  # 20 frames of 10 ms are too short, 20 of 100 ms are not
    assert (segment.first, segment.last) == (80, 99)
    assert segment.start == pytest.approx((59 * 10 + 21 * 100) / 1000)
    assert segment.end - segment.start == pytest.approx(2.0)


def test_slow_frames_after_fast_ones_are_all_looked_at(tmp_path):
    steps = [0, *([10] * 300), *([500] * 27)]
    write_clip(tmp_path / "clip.dcm", textured(328, (8, 12)), FrameTimeVector=steps, FrameTime=None)
    clip = analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(script((None, 303), ("Femur", 8), (None, 17))))
    assert [(s.plane, s.first, s.last, s.start, s.end) for s in clip.segments] == [("Femur", 303, 310, 4.5, 8.5)]
    assert set(range(301, 328)) <= set(clip.predictions)
    assert len(clip.predictions) < 60


@pytest.mark.parametrize("frame_time", ["1e12", "1e300", "0.04"])  # damaged, and in seconds
def test_times_that_cannot_be_are_not_believed(tmp_path, frame_time):
    write_clip(tmp_path / "clip.dcm", textured(100, (8, 12)), FrameTime=frame_time)
    predictor = ScriptedPredictor(script((None, 30), ("Femur", 40), (None, 30)))
    clip = analyse_clip(str(tmp_path / "clip.dcm"), predictor)
    assert clip.times is None
    assert [(s.plane, s.first, s.last, s.start) for s in clip.segments] == [("Femur", 30, 69, None)]
    assert len(predictor.asked) < 100


def test_looks_are_no_more_than_frames_whatever_their_times():
    assert _first_looks(np.arange(3), np.array([1e12, 1e12, 1e12])).tolist() == [0, 1, 2]


@given(st.lists(st.integers(5, 700), min_size=2, max_size=60))
def test_no_fifth_of_a_second_passes_unseen(milliseconds):
    durations = np.array(milliseconds) / 1000
    ends = np.cumsum(durations)
    looks = _first_looks(np.arange(len(durations)), durations)
    assert (looks[0], looks[-1]) == (0, len(durations) - 1)
    between = [(ends[b - 1] - ends[a]) for a, b in itertools.pairwise(looks) if b - a > 1]
    assert all(gap < LOOK_EVERY + 1e-5 for gap in between)


def test_a_segment_begins_and_ends_with_frames_that_can_be_read(still_clip, monkeypatch):
    measure = clip_module.measure_clip

    def holes(*arguments, **options):
        quality = measure(*arguments, **options)
        quality.sharpness[np.r_[25:35, 88:95]] = np.nan
        quality.unreadable.update(dict.fromkeys([*range(25, 35), *range(88, 95)], "damaged"))
        return quality

    monkeypatch.setattr(clip_module, "measure_clip", holes)
    first = analyse_clip(still_clip, ScriptedPredictor(SCRIPT), every_frame=True).segments[0]
    assert (first.first, first.last) == (35, 87)


def test_confidence_is_the_mean_over_all_frames_that_were_classified(still_clip):
    rows = SCRIPT.copy()
    rows[31:91, 0] -= np.linspace(0, 0.2, 60)
    clip = analyse_clip(still_clip, ScriptedPredictor(rows))
    first = clip.segments[0]
    seen = [found.probabilities[0] for frame, found in clip.predictions.items() if first.first <= frame <= first.last]
    assert first.confidence == pytest.approx(np.mean(seen))


def test_without_frame_times_there_are_frames_but_no_seconds(tmp_path):
    write_clip(tmp_path / "clip.dcm", textured(60, (8, 12)), FrameTime=None)
    clip = analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(script((None, 20), ("Femur", 40))))
    assert [(s.first, s.last, s.start, s.end) for s in clip.segments] == [(20, 59, None, None)]
    assert clip.times is None


def test_a_clip_whose_number_of_frames_lies(tmp_path):
    write_clip(tmp_path / "clip.dcm", textured(60, (8, 12)), NumberOfFrames=500)
    clip = analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(script(("Femur", 500))))
    assert sorted(clip.unreadable) == list(range(60, 500))
    assert all(frame < 60 for frame in clip.predictions)
    assert clip.segments[0].key_frame.frame < 60


def test_frames_that_the_model_fails_on_stop_nothing(still_clip):
    rows = SCRIPT.copy()
    rows[60:70] = np.nan
    clip = analyse_clip(still_clip, ScriptedPredictor(rows), every_frame=True)
    assert sorted(clip.unreadable) == list(range(60, 70))
    assert [s.plane for s in clip.segments] == ["Abdomen", "Femur", "Abdomen", "Other"]
    assert isinstance(analyse_clip(still_clip, ScriptedPredictor(SCRIPT * np.nan)), ReadFailure)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "clip.dcm").write_bytes(b"no")
    with pytest.raises(DicomReadError):
        analyse_clip(str(tmp_path / "clip.dcm"), ScriptedPredictor(SCRIPT))


def test_progress_rises_to_one(still_clip):
    shares = []
    analyse_clip(still_clip, ScriptedPredictor(SCRIPT), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
