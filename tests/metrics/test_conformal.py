import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.metrics.conformal import (
    ALL,
    OWN,
    RARE,
    ConformalSets,
    conformal_metrics,
    fewest_images,
    fit_conformal_sets,
)


def draw(rng, counts, pull=(2.0, 1.0, 0.3)):
    """Classes of different difficulty, so that one common threshold would fail the hard one."""
    labels = np.repeat(np.arange(len(counts)), counts)
    logits = rng.normal(size=(len(labels), len(counts)))
    logits[np.arange(len(labels)), labels] += np.array(pull)[labels]
    names = [f"class {k}" for k in range(len(counts))]
    return Predictions(names, np.arange(len(labels)).astype(str), [-1] * len(labels), labels, softmax(logits, axis=1))


def by_thresholds(sets, probabilities):
    """What the thresholds alone admit."""
    return 1 - probabilities <= np.array(sets.thresholds)


def test_coverage_holds_for_each_class_within_its_bound():
    rng = np.random.default_rng(0)
    counts, trials, tests = [40, 60, 29], 400, 50
    covered, admitted = np.zeros((trials, 3)), np.zeros((trials, 3))
    for trial in range(trials):
        sets, test = fit_conformal_sets(draw(rng, counts), coverage=0.9), draw(rng, [tests] * 3)
        covered[trial] = [row["coverage"] for row in conformal_metrics(sets, test)["per_class"].values()]
        alone = by_thresholds(sets, test.probabilities)[np.arange(3 * tests), test.labels]
        admitted[trial] = [alone[test.labels == k].mean() for k in range(3)]
    for k, count in enumerate(counts):
        mean, error = admitted[:, k].mean(), admitted[:, k].std() / math.sqrt(trials)
        assert 0.9 - 3 * error <= mean <= 0.9 + 1 / (count + 1) + 3 * error
    assert np.all(covered >= admitted)


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([0, 1, None]))
def test_a_set_is_never_empty_and_never_denies_the_most_probable_class(seed, classes, decimals):
    rng = np.random.default_rng(seed)
    thresholds = rng.choice([-np.inf, 0.0, *rng.random(4), np.inf], classes)
    names = tuple(f"class {k}" for k in range(classes))
    sets = ConformalSets(0.9, names, tuple(thresholds), (OWN,) * classes, (9,) * classes)
    logits = rng.normal(size=(20, classes)) * 3
    probabilities = softmax(logits if decimals is None else logits.round(decimals), axis=1)  # rounded ones have ties
    table = Predictions(names, np.arange(20).astype(str), [-1] * 20, rng.integers(0, classes, 20), probabilities)
    members, alone = sets.members(probabilities), by_thresholds(sets, probabilities)
    assert members.any(axis=1).all()
    assert members[np.arange(20), table.predicted].all()
    assert np.all(members >= alone)
    assert (members & ~alone).sum() == (~alone[np.arange(20), table.predicted]).sum(), "nothing else is added"
    assert conformal_metrics(sets, table)["coverage"] >= alone[np.arange(20), table.labels].mean()


def test_rare_classes_share_a_threshold_which_covers_them_on_average():
    rng = np.random.default_rng(0)
    share = []
    for _ in range(300):
        val = draw(rng, [60, 8, 8], pull=(2.0, 1.0, 1.0))
        sets = fit_conformal_sets(val, coverage=0.9)
        assert sets.calibrated_on == (OWN, RARE, RARE)
        assert sets.thresholds[1] == sets.thresholds[2] != sets.thresholds[0]
        rows = conformal_metrics(sets, draw(rng, [1, 40, 40], pull=(2.0, 1.0, 1.0)))["per_class"]
        share.append((rows["class 1"]["coverage"] + rows["class 2"]["coverage"]) / 2)
    error = np.std(share) / math.sqrt(len(share))
    assert 0.9 - 3 * error <= np.mean(share) <= 0.9 + 1 / 17 + 3 * error


def test_what_is_too_rare_even_together_uses_all_and_says_so():
    rng = np.random.default_rng(0)
    sets = fit_conformal_sets(draw(rng, [60, 3, 0]), coverage=0.9)
    assert sets.calibrated_on == (OWN, ALL, ALL)
    metrics = conformal_metrics(sets, draw(rng, [5, 5, 0]))
    assert metrics["shared_thresholds"] == ["class 1", "class 2"]
    assert metrics["per_class"]["class 2"] == {
        "coverage": None, "mean_size": None, "images": 0, "validation_images": 0, "calibrated_on": ALL
    }  # fmt: skip


def test_hopelessly_few_images_give_full_sets_not_false_promises():
    rng = np.random.default_rng(0)
    sets = fit_conformal_sets(draw(rng, [2, 2, 2]), coverage=0.9)
    assert sets.members(draw(rng, [3, 3, 3]).probabilities).all()


@given(st.integers(1, 99))
def test_fewest_images_is_the_smallest_that_gives_a_finite_threshold(percent):
    coverage = percent / 100
    n = fewest_images(coverage)
    assert -(-(n + 1) * percent // 100) <= n
    assert n == 1 or -(-n * percent // 100) > n - 1


@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 0.9]))
def test_more_coverage_means_larger_sets(seed, coverage):
    rng = np.random.default_rng(seed)
    val, test = draw(rng, [30, 20, 5]), draw(rng, [10, 10, 10])
    smaller = fit_conformal_sets(val, coverage=coverage).members(test.probabilities)
    larger = fit_conformal_sets(val, coverage=0.95).members(test.probabilities)
    own = [True, True, False]  # a class may change the pool that it shares, which need not be monotone
    assert np.all(larger[:, own] >= smaller[:, own])


def test_other_classes_and_impossible_coverage_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="not between 0 and 1"):
        fit_conformal_sets(draw(rng, [9, 9, 9]), coverage=1.0)
    with pytest.raises(InputError, match="fit again"):
        conformal_metrics(fit_conformal_sets(draw(rng, [9, 9, 9])), Predictions("ab", ["1"], [-1], [0], [[1, 0]]))
