"""When frames were shown: vectors, constants, and headers that say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from fetal_monai.dicom.frame_times import frame_times


def header(**elements):
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30))
def test_a_vector_holds_the_steps(steps):
    times = frame_times(header(FrameTimeVector=[0, *steps], FrameTime=7), len(steps) + 1)
    np.testing.assert_allclose(np.diff(times) * 1000, steps)
    assert times[0] == 0


@pytest.mark.parametrize(
    ("elements", "step"),
    [
        ({"FrameTime": 40}, 0.04),
        ({"CineRate": 50}, 0.02),
        ({"RecommendedDisplayFrameRate": 20}, 0.05),
        ({"FrameTime": 40, "CineRate": 50}, 0.04),
        ({"FrameTimeVector": [0, 10], "FrameTime": 40}, 0.04),  # too short for the clip
        ({"FrameTimeVector": [0, 10, -5, 10], "CineRate": 50}, 0.02),  # it runs backwards
        ({"FrameTime": 0, "CineRate": 50}, 0.02),
        ({"FrameTime": 0.04, "CineRate": 25}, 0.04),  # in seconds
        ({"FrameTime": 1e12, "CineRate": 25}, 0.04),
        ({"FrameTimeVector": [0, 0.04, 0.04, 0.04], "FrameTime": 40}, 0.04),
        ({"FrameTimeVector": [0, 40, 1e300, 40], "FrameTime": 40}, 0.04),
    ],
)
def test_one_value_for_all(elements, step):
    np.testing.assert_allclose(frame_times(header(**elements), 4), np.arange(4) * step)


@pytest.mark.parametrize(
    "elements", [{}, {"FrameTime": 0}, {"FrameTime": 1e12}, {"CineRate": 1e9}, {"FrameTimeVector": [0, 10, -5, 10]}]
)
def test_a_header_that_does_not_tell(elements):
    assert frame_times(header(**elements), 4) is None
