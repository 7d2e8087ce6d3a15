from dataclasses import replace

import numpy as np
import pytest

from fetal_monai.dicom import index_dicom
from fetal_monai.report.study_pictures import MOST_OF_A_CLIP, MOST_PICTURES, choose_frames, share_pictures
from fetal_monai.report.study_timeline import timeline
from made_predictions import made_clip


@pytest.fixture(scope="module")
def entry(phantom):
    """Of a clip."""
    return next(entry for entry in index_dicom(phantom / "dicom").values() if entry.frames > 1)


def test_pictures_are_shared_among_clips(entry):
    short, long = made_clip(entry, frames=10), made_clip(entry, frames=1000)
    assert share_pictures(0, [long, short]) == [MOST_OF_A_CLIP, 10]
    assert share_pictures(240, [long] * 4 + [short]) == [87, 87, 88, 88, 10]
    assert sum(share_pictures(240, [long] * 7)) <= MOST_PICTURES - 240
    assert share_pictures(240, [long] * 500) == [1] * 500
    chosen = choose_frames(long, 12)
    assert {1, 999} < set(chosen)
    assert len(chosen) == 12
    assert choose_frames(long, 1) == [1]  # the better of two key frames
    assert choose_frames(short, 120) == list(range(10))


def test_bands_lines_and_marks_lie_where_the_frames_are(entry):
    clip = made_clip(entry, frames=60, step=0.5)
    times = clip.times.copy()
    times[30:] += 30  # a pause: time, not the number of frames, is the axis
    chart = timeline(replace(clip, times=times))
    assert [line["name"] for line in chart["lines"]] == ["Femur", "Spine", "Other"]
    assert chart["bands"][1]["left"] == pytest.approx((20 + 30) / 60 * 100, abs=0.01)
    assert chart["bands"][1]["left"] + chart["bands"][1]["width"] == pytest.approx(100, abs=0.01)
    assert chart["marks"][0] == pytest.approx(0.75 / 60 * 100, abs=0.01)
    assert [(tick["left"], tick["text"]) for tick in chart["ticks"]][:2] == [(0, "0"), (pytest.approx(16.67), "10")]
    assert chart["unlike"] == [{"left": pytest.approx(75, abs=0.01), "width": pytest.approx(100 * 5 / 60, abs=0.01)}]
    chart = timeline(replace(clip, times=None))
    assert chart["bands"][1]["left"] == pytest.approx(40 / 60 * 100, abs=0.01)
    assert chart["ticks"][1]["text"] == "10"
    assert len({(line["colour"], line["dash"]) for line in chart["lines"]}) == 3


def test_peaks_survive_in_the_line_of_a_long_clip(entry):
    clip = made_clip(entry, frames=10_000)
    spike = np.array([0.0, 0.01, 0.99, 0.0])
    clip.predictions[1234] = replace(clip.predictions[1234], probabilities=spike)
    lines = {line["name"]: line["points"].split() for line in timeline(clip)["lines"]}
    assert min(float(point.split(",")[1]) for point in lines["Kidneys"]) == 1.0
    assert all(len(points) <= 1000 for points in lines.values())
