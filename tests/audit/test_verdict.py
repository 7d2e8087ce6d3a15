from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.audit.verdict import Verdict, judge, overall
from fetal_monai.metrics.bootstrap import Interval


@pytest.mark.parametrize(
    ("effect", "patients", "verdict"),
    [
        (Interval(0.30, 0.20, 0.40), 50, Verdict.FOUND),
        (Interval(0.06, 0.01, 0.11), 50, Verdict.FOUND),
        (Interval(0.04, 0.01, 0.07), 50, Verdict.UNDECIDED),  # there, but perhaps too small to matter
        (Interval(0.02, 0.01, 0.03), 50, Verdict.NOT_FOUND),
        (Interval(0.10, -0.10, 0.30), 50, Verdict.UNDECIDED),
        (Interval(-0.2, -0.3, -0.1), 50, Verdict.NOT_FOUND),
        (Interval(None), 50, Verdict.UNDECIDED),
        # No variation was seen: of 20 patients three more might differ, of 100 that is less than 0.05.
        (Interval(0.0, 0.0, 0.0), 20, Verdict.UNDECIDED),
        (Interval(0.0), 100, Verdict.NOT_FOUND),
        (Interval(0.5, 0.5, 0.5), 20, Verdict.FOUND),
    ],
)
def test_effects(effect, patients, verdict):
    assert judge(effect, 0.05, patients) is verdict


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_one_that_is_found_is_enough_and_all_must_be_absent(verdicts):
    assert (overall(verdicts) is Verdict.FOUND) == (Verdict.FOUND in verdicts)
    assert (overall(verdicts) is Verdict.NOT_FOUND) == all(one is Verdict.NOT_FOUND for one in verdicts)
