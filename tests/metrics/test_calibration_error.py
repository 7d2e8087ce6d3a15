import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from fetal_monai.metrics.calibration_error import (
    bin_of,
    calibration_metrics,
    error_if_calibrated,
    reliability_bins,
    top_label_bins,
)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_scores_agree_with_scikit_learn(simulate, seed):
    table = simulate(seed)
    metrics = calibration_metrics(table)
    assert metrics["nll"] == pytest.approx(log_loss(table.labels, table.probabilities, labels=range(4)))
    one_against_rest = [brier_score_loss(table.labels == k, table.probabilities[:, k]) for k in range(4)]
    assert metrics["brier"] == pytest.approx(sum(one_against_rest))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 20))
def test_calibration_errors_agree_with_counting_by_hand(simulate, seed, bins):
    table = simulate(seed, count=80)

    def by_hand(probabilities, events):
        total = 0.0
        for b in range(bins):
            inside = (probabilities > b / bins) & (probabilities <= (b + 1) / bins)
            if inside.any():
                total += inside.mean() * abs(probabilities[inside].mean() - events[inside].mean())
        return total

    metrics = calibration_metrics(table, bins)
    assert metrics["ece"] == pytest.approx(by_hand(table.confidence, table.predicted == table.labels))
    classwise = [by_hand(table.probabilities[:, k], table.labels == k) for k in range(4)]
    assert metrics["classwise_ece"] == pytest.approx(np.mean(classwise))


def test_diagram_agrees_with_scikit_learn(simulate):
    table = simulate(3, count=2000)
    ours = top_label_bins(table, 10)
    observed, stated = calibration_curve(table.predicted == table.labels, table.confidence, n_bins=10)
    used = ours.counts > 0
    np.testing.assert_allclose(ours.observed[used], observed)
    np.testing.assert_allclose(ours.stated[used], stated)
    assert ours.counts.sum() == 2000


def test_a_bin_includes_its_right_edge_and_zero_the_first():
    assert bin_of(np.array([0, 0.25, 0.2500001, 1.0]), 4).tolist() == [0, 0, 1, 3]
    bins = reliability_bins([1.0, 0.0], [True, False], 2)
    assert bins.error == 0
    assert bins.counts.tolist() == [1, 1]


def test_honest_probabilities_have_small_error_and_sharpened_ones_do_not(simulate):
    assert calibration_metrics(simulate(0, count=40_000))["ece"] < 0.01
    assert calibration_metrics(simulate(0, count=40_000, sharpness=4))["ece"] > 0.1


def test_error_by_chance_is_what_honest_probabilities_show(simulate):
    errors = [calibration_metrics(simulate(seed, count=150))["ece"] for seed in range(60)]
    chance = np.mean([error_if_calibrated(simulate(seed, count=150), replicates=100) for seed in range(5)])
    assert chance == pytest.approx(np.mean(errors), rel=0.1)
    assert chance > 0.03  # a hundred images cannot show an error of zero
