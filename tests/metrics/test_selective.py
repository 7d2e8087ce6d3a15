import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fetal_monai.metrics import Predictions
from fetal_monai.metrics.selective import abstention_threshold, binomial_upper_bound, risk_coverage

outcomes = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


@given(outcomes)
def test_curve_agrees_with_counting_by_hand(pairs):
    confidence, correct = (np.array(side) for side in zip(*pairs, strict=True))
    curve = risk_coverage(confidence, correct)
    for threshold, coverage, risk in zip(curve.thresholds, curve.coverage, curve.risk, strict=True):
        kept = confidence >= threshold
        assert coverage == pytest.approx(kept.mean())
        assert risk == pytest.approx((~correct[kept]).mean())
    assert curve.coverage[-1] == 1
    assert np.all(np.diff(curve.thresholds) < 0)
    assert curve.best_area <= curve.area + 1e-12


@given(outcomes, st.randoms(use_true_random=False))
def test_area_is_the_mean_over_the_orders_of_ties(pairs, random):
    confidence, correct = (np.array(side) for side in zip(*pairs, strict=True))
    areas = []
    for _ in range(150):
        noise = np.array([random.random() for _ in pairs])
        wrong = ~correct[np.lexsort((noise, -confidence))]
        areas.append((wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean())
    assert risk_coverage(confidence, correct).area == pytest.approx(
        np.mean(areas), abs=4 * np.std(areas) / 150**0.5 + 1e-9
    )


def test_closed_forms():
    assert risk_coverage([3, 2, 1], [True, True, True]).area == 0
    assert risk_coverage([3, 2, 1], [False, False, False]).area == 1
    # One error, ranked last of four: risks 0, 0, 0, 1/4.
    assert risk_coverage([4, 3, 2, 1], [True, True, True, False]).area == pytest.approx(1 / 16)
    # The same error ranked first: risks 1, 1/2, 1/3, 1/4; the best possible stays 1/16.
    worst = risk_coverage([4, 3, 2, 1], [False, True, True, True])
    assert worst.area == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert worst.best_area == pytest.approx(1 / 16)
    with pytest.raises(ValueError, match="at least one image"):
        risk_coverage([], [])


@given(st.integers(1, 200), st.data())
def test_bound_agrees_with_scipys_exact_interval(count, data):
    errors = data.draw(st.integers(0, count))
    expected = binomtest(errors, count).proportion_ci(0.9, method="exact").high  # two-sided 90 % is one-sided 95 %
    assert binomial_upper_bound(errors, count, 0.05) == pytest.approx(expected)


def draw(rng, count):
    """Confidence is what it says; the model is right with that probability."""
    confidence = rng.uniform(0.5, 1, count)
    right = rng.random(count) < confidence
    labels = (~right).astype(int)
    return Predictions(
        "ab", np.arange(count).astype(str), [-1] * count, labels, np.stack([confidence, 1 - confidence], 1)
    )


def test_the_risk_promised_is_kept():
    rng = np.random.default_rng(0)
    broken = found = 0
    for _ in range(300):
        chosen = abstention_threshold(draw(rng, 1500), risk=0.15, certainty=0.9)
        if chosen.threshold is not None:
            found += 1
            broken += (1 - (chosen.threshold + 1) / 2) > 0.15  # true risk above t is 1 - E[confidence | above t]
    assert found > 250
    assert broken / found <= 0.1


def test_an_impossible_promise_is_said_to_be_one():
    rng = np.random.default_rng(0)
    chosen = abstention_threshold(draw(rng, 20), risk=0.01)
    assert chosen.threshold is None
    assert chosen.coverage == 0
    assert "20 validation images cannot prove it" in chosen.why


def test_a_model_that_hardly_errs_keeps_everything():
    labels = np.zeros(154, int)
    labels[0] = 1
    confidence = np.linspace(0.6, 0.99, 154)
    scores = np.stack([confidence, 1 - confidence], axis=1)
    found = abstention_threshold(Predictions("ab", np.arange(154).astype(str), [-1] * 154, labels, scores), risk=0.05)
    assert found.coverage == 1
    assert found.bound == pytest.approx(binomtest(1, 154).proportion_ci(0.98, method="exact").high)
