import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA

from fetal_monai.errors import InputError
from fetal_monai.metrics.ood import Mahalanobis, detection_metrics, energy_score, outlier_threshold


@given(st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1), st.floats(0.5, 5))
def test_energy_is_its_formula_and_survives_large_logits(logits, temperature):
    values = np.array(logits)
    expected = -temperature * np.log(np.exp(values / temperature).sum(axis=1))
    np.testing.assert_allclose(energy_score(values, temperature), expected, atol=1e-9)
    np.testing.assert_allclose(energy_score(values + 1e5, temperature), expected - 1e5, atol=1e-6)


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_only_the_direction_of_features_counts_and_no_features_are_far():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 10)) + 5 * np.eye(10)[np.arange(100) % 2]
    model = Mahalanobis.fit(features, np.arange(100) % 2)
    np.testing.assert_allclose(model.score(features * 7), model.score(features))
    assert model.score(np.zeros((1, 10)))[0] > model.score(features).max()


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_distance_equals_scikit_learns_precision_matrix(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 80)
    labels[:3] = [0, 1, 2]
    features = unit(rng.normal(size=(80, 12)) @ rng.normal(size=(12, 12)) + 4 * rng.normal(size=(3, 12))[labels])
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    precision = PCA(n_components=5).fit(features - means[labels]).get_precision()
    queries = unit(rng.normal(size=(10, 12)))
    gaps = queries[:, None] - means[None]
    expected = np.einsum("nkd,de,nke->nk", gaps, precision, gaps).min(axis=1) / 12
    np.testing.assert_allclose(Mahalanobis.fit(features, labels, 5).score(queries), expected, rtol=1e-8)


def test_with_all_but_one_direction_it_is_the_plain_mahalanobis_distance():
    rng = np.random.default_rng(0)
    features = unit(rng.normal(size=(300, 6)) * [1, 2, 3, 4, 5, 6])
    model = Mahalanobis.fit(features, np.zeros(300, int))
    plain = EmpiricalCovariance().fit(features).mahalanobis(features) * 299 / 300 / 6
    np.testing.assert_allclose(model.score(features), plain, rtol=1e-8)


def test_more_dimensions_than_images_and_a_deviation_outside_the_leading_directions():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    features = rng.normal(size=(120, 900)) * 0.1
    features[:, :5] += rng.normal(size=(120, 5)) * 3
    model = Mahalanobis.fit(features, labels)
    odd = features[:20].copy()
    odd[:, 500] += (
        3 * np.linalg.norm(features[:, :5], axis=1).mean() / 3
    )  # small against the leading directions, large against the noise
    assert detection_metrics(model.score(features[20:]), model.score(odd))["auroc"] > 0.99


def test_the_file_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 8))
    model = Mahalanobis.fit(features, np.arange(50) % 3)
    model.save(tmp_path / "ood.npz")
    np.testing.assert_allclose(Mahalanobis.load(tmp_path / "ood.npz").score(features), model.score(features), rtol=1e-4)
    (tmp_path / "bad.npz").write_bytes(b"PK no")
    for name in ("bad.npz", "missing.npz"):
        with pytest.raises(InputError, match="fit it again"):
            Mahalanobis.load(tmp_path / name)


def fitted(dimensions: int) -> tuple[Mahalanobis, np.ndarray]:
    """As networks' features are: positive, correlated, most of their variance in few directions."""
    rng = np.random.default_rng(dimensions)
    labels = rng.integers(0, 8, 600)
    basis = rng.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    spread = rng.normal(size=(600, dimensions)) * 10 / np.arange(1, dimensions + 1)
    features = np.maximum(rng.normal(size=(8, dimensions))[labels] + spread @ basis, 0)
    return Mahalanobis.fit(features[:400], labels[:400]), features[400:]


@pytest.mark.parametrize(("dimensions", "size"), [(1280, 210_000), (2560, 415_000)])
def test_in_half_precision_the_file_is_half_as_large_and_scores_agree_within_a_thousandth(tmp_path, dimensions, size):
    model, queries = fitted(dimensions)
    model.save(tmp_path / "whole.npz")
    model.save(tmp_path / "half.npz", half=True)
    assert (tmp_path / "half.npz").stat().st_size < size
    assert (tmp_path / "half.npz").stat().st_size < 0.57 * (tmp_path / "whole.npz").stat().st_size
    for name, tolerance in (("whole", 1e-5), ("half", 1e-3)):
        found = Mahalanobis.load(tmp_path / f"{name}.npz").score(queries)
        np.testing.assert_allclose(found, model.score(queries), rtol=tolerance)


def test_rounding_of_the_directions_does_not_count(tmp_path):
    """Few directions and hardly any noise: their rounded lengths would weigh more than the noise."""
    rng = np.random.default_rng(0)
    features = 1 + 0.01 * rng.normal(size=(200, 3)) @ rng.normal(size=(3, 1280)) + 1e-5 * rng.normal(size=(200, 1280))
    model = Mahalanobis.fit(features[:150], np.zeros(150, int), components=3)
    model.save(tmp_path / "ood.npz", half=True)
    np.testing.assert_allclose(
        Mahalanobis.load(tmp_path / "ood.npz").score(features[150:]), model.score(features[150:]), rtol=0.05
    )


def test_files_of_before_still_load(tmp_path):
    """Written as the first version did."""
    model, queries = fitted(64)
    arrays = {name: np.float32(getattr(model, name)) for name in ("means", "directions", "variances", "noise")}
    np.savez(tmp_path / "ood.npz", **arrays)
    np.testing.assert_allclose(Mahalanobis.load(tmp_path / "ood.npz").score(queries), model.score(queries), rtol=1e-5)


def test_the_threshold_accepts_what_it_says():
    scores = np.random.default_rng(0).normal(size=1000)
    assert (scores <= outlier_threshold(scores, accepted=0.95)).mean() == pytest.approx(0.95, abs=0.002)
    with pytest.raises(InputError, match="validation split is not empty"):
        outlier_threshold([])


def test_detection_closed_forms():
    assert detection_metrics([0, 1, 2, 3], [10, 11])["fpr_at_95"] == 0
    half = detection_metrics([1, 1], [1, 1])
    assert half["auroc"] == 0.5
    assert half["fpr_at_95"] == 1
    ties = detection_metrics(np.arange(100), np.arange(100))  # a straight line from corner to corner
    assert (ties["auroc"], ties["fpr_at_95"]) == (0.5, 0.95)
    with pytest.raises(InputError, match="one side"):
        detection_metrics([], [1])


@pytest.mark.parametrize("features", [np.full((4, 3), np.nan), np.zeros((3, 3)), np.zeros((4, 3))[:2]])
def test_impossible_features_are_refused(features):
    with pytest.raises(InputError, match="features"):
        Mahalanobis.fit(features, [0, 1, 2, 3] if len(features) == 4 else [0, 1, 2])


def test_images_that_are_all_alike_are_refused_and_repeated_ones_are_not():
    with pytest.raises(InputError, match="do not differ within any class"):
        Mahalanobis.fit(np.repeat(np.eye(4)[:2], 5, axis=0), np.repeat([0, 1], 5))
    several = np.random.default_rng(0).normal(size=(6, 8))
    model = Mahalanobis.fit(np.repeat(several, 4, axis=0), np.repeat([0, 1], 12), components=20)
    assert model.variances.min() >= model.noise > 0
    assert np.isfinite(model.score(several)).all()
    assert model.score(several).max() < 2 < model.score(-several).min()
