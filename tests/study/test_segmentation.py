"""The steadiest path, against every path there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fetal_monai.study.segmentation import steadiest_path, stretches


def worth(path, probabilities, seconds, least, doubt):
    """What a path is worth, by the definition; the last state is none."""
    none = probabilities.shape[1]
    weights = [doubt if state == none else max(probabilities[t, state], doubt**2) for t, state in enumerate(path)]
    gain = sum(np.log(weight) * duration for weight, duration in zip(weights, seconds, strict=True))
    changes = [0 if a == b else 1 if none in (a, b) else 2 for a, b in itertools.pairwise(path)]
    return gain - sum(changes) * 0.5 * least * -np.log(doubt)


@given(data=st.data(), frames=st.integers(1, 6), classes=st.integers(1, 2))
def test_no_path_is_worth_more(data, frames, classes):
    probabilities = data.draw(arrays(float, (frames, classes), elements=st.floats(0, 1)))
    seconds = data.draw(arrays(float, frames, elements=st.floats(0.01, 0.5)))
    given = probabilities, seconds, data.draw(st.floats(0, 2)), data.draw(st.floats(0.1, 0.9))
    best = max(worth(path, *given) for path in itertools.product(range(classes + 1), repeat=frames))
    assert worth(steadiest_path(*given).tolist(), *given) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("rate", [10, 25, 100])
@pytest.mark.parametrize(("held", "counts"), [(0.2, False), (0.4, True)])
@pytest.mark.parametrize("amid", ["none", "another class"])
def test_what_a_plane_must_last_does_not_depend_on_the_frame_rate(rate, held, counts, amid):
    probabilities = np.zeros((3 * rate, 2))
    probabilities[:, 1] = amid == "another class"
    probabilities[rate : rate + round(held * rate)] = [1, 0]
    path = steadiest_path(probabilities, np.full(3 * rate, 1 / rate), 0.3, 0.5)
    assert (0 in path) == counts


@pytest.mark.parametrize(("pause", "counts"), [(0.2, False), (0.4, True)])
def test_a_short_pause_does_not_cut_a_plane(pause, counts):
    probabilities = np.ones((100, 1))
    probabilities[40 : 40 + round(pause / 0.02)] = 0
    path = steadiest_path(probabilities, np.full(100, 0.02), 0.3, 0.5)
    assert (1 in path) == counts


@given(arrays(np.intp, st.integers(1, 30), elements=st.integers(0, 3)))
def test_stretches_put_together_are_the_path(path):
    found = stretches(path)
    assert [state for state, first, last in found for _ in range(first, last + 1)] == path.tolist()
    assert all(a[0] != b[0] for a, b in itertools.pairwise(found))
