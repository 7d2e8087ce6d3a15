"""The key frame: the best of all, though few are looked at."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fetal_monai.study.key_frames import SURE, Merit, choose_key_frame, score

shares = st.floats(0, 1)


@given(data=st.data(), count=st.integers(1, 25))
def test_it_is_the_best_of_all(data, count):
    quality = data.draw(arrays(float, count, elements=shares | st.just(float("nan"))))
    confidence = data.draw(arrays(float, count, elements=shares))
    blind = data.draw(st.sets(st.integers(0, count - 1)))
    frames = list(range(100, 100 + count))
    asked = []

    def ask(some):
        asked.extend(some)
        return {frame: confidence[frame - 100] for frame in some if frame - 100 not in blind}

    found = choose_key_frame(frames, quality, ask)
    each = {k: score(confidence[k], quality[k]) for k in range(count) if np.isfinite(quality[k]) and k not in blind}
    expected = None if not each else 100 + max(each, key=lambda k: (each[k], quality[k], -k))
    assert found == expected
    assert len(asked) == len(set(asked))


def test_of_a_thousand_sure_frames_two_are_looked_at():
    asked = []

    def ask(some):
        asked.extend(some)
        return dict.fromkeys(some, 0.97)

    quality = np.linspace(0.2, 1, 1000)
    assert choose_key_frame(range(1000), quality, ask) == 999
    assert len(asked) == 2


@given(shares, shares, shares)
def test_scores_stay_in_bounds_and_never_fall_when_something_gets_better(low, high, other):
    low, high = sorted((low, high))
    assert 0 <= score(low, other) <= score(high, other) <= 1
    assert score(other, low) <= score(other, high)
    assert score(SURE, other) == score(1.0, other)
    assert Merit(low, high, other).score == score(low, high * other)
