"""What active learning ranks by, against scipy's and against closed forms."""

import numpy as np
import pytest
from active_learning import BATCH, START, STRATEGIES, Images, k_centre, learn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression

from fetal_monai.metrics.acquisition import jensen_shannon_divergence, nearest_distances, predictive_entropy

weights = arrays(float, (3, 4), elements=st.sampled_from([0.0, 1e-12, 0.1, 0.5, 1.0, 7.0])).filter(
    lambda rows: rows.sum(axis=1).all()
)
distributions = weights.map(lambda rows: rows / rows.sum(axis=1, keepdims=True))
points = arrays(float, (12, 2), elements=st.integers(-3, 3))


@given(distributions)
def test_entropy_is_scipys_and_within_its_bounds(rows):
    found = predictive_entropy(rows)
    np.testing.assert_allclose(found, entropy(rows, axis=1), atol=1e-12)
    assert (found >= 0).all()
    assert (found <= np.log(4) + 1e-12).all()


@given(distributions, distributions)
def test_disagreement_is_the_square_of_scipys_distance_and_within_its_bounds(first, second):
    found = jensen_shannon_divergence(first, second)
    assert (found >= 0).all()
    assert (found <= np.log(2)).all()
    np.testing.assert_allclose(found, jensenshannon(first, second, axis=1) ** 2, atol=1e-7)
    np.testing.assert_array_equal(found, jensen_shannon_divergence(second, first))
    np.testing.assert_array_equal(jensen_shannon_divergence(first, first), 0)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 0, 0], [0, 0.5, 0.5], np.log(2)),  # no class in common
        ([1, 0, 0], [1, 0, 0], 0),
        ([1, 0, 0], [0.5, 0.5, 0], 0.75 * np.log(4 / 3)),  # the mean is (3/4, 1/4)
        ([0.25] * 4, [0.25] * 4, 0),  # unsure in the same way is no disagreement
    ],
)
def test_disagreement_in_closed_form(first, second, expected):
    assert jensen_shannon_divergence(first, second) == pytest.approx(expected, abs=1e-12)


@given(points, points)
def test_the_nearest_is_scipys(features, centres):
    np.testing.assert_allclose(nearest_distances(features, centres), cdist(features, centres).min(axis=1), atol=1e-6)


@given(points, st.integers(1, 12))
def test_k_centre_takes_the_farthest_each_time(features, first):
    labelled = list(range(first))
    for index in k_centre(features, np.array(labelled), len(features) - first):
        nearest = cdist(features, features[labelled]).min(axis=1)
        assert index not in labelled
        assert nearest[index] == pytest.approx(nearest.max(), abs=1e-6)
        labelled.append(index)
    assert sorted(labelled) == list(range(len(features)))


def test_the_benchmark_begins_alike_and_ends_with_all_labels():
    rng = np.random.default_rng(0)
    labels = np.arange(START + 2 * BATCH + 7) % 3
    images = Images(rng.normal(size=(2, len(labels), 4)) + 4 * np.eye(4)[labels], labels)
    curves = [learn(name, 1, images, images, LogisticRegression) for name in STRATEGIES]
    for curve in curves:
        assert curve["labels"] == [START, START + BATCH, START + 2 * BATCH, len(labels)]
        assert [curve["macro_f1"][at] for at in (0, -1)] == [curves[0]["macro_f1"][at] for at in (0, -1)]
