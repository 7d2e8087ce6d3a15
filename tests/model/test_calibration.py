import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.metrics.calibration_error import calibration_metrics
from fetal_monai.model.calibration import Calibration, fit_calibration

NAMES = ("a", "b", "c", "d")


def simulate(seed, *, count=400, temperature=1.0, factors=1.0, offsets=0.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 4)) * 2
    truth = softmax(logits, axis=1)
    labels = (truth.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(max=3)
    shown = softmax(logits * temperature * factors + offsets, axis=1)
    return Predictions(NAMES, np.arange(count).astype(str), [-1] * count, labels, shown)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_temperature_is_recovered(temperature):
    fitted = fit_calibration(simulate(0, count=20_000, temperature=temperature), "temperature")
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0.3, 4))
def test_temperature_is_where_an_independent_search_finds_the_least_loss(seed, temperature):
    table = simulate(seed, temperature=temperature)
    logs = np.log(table.probabilities)

    def loss(t):
        return -log_softmax(logs / t, axis=1)[np.arange(len(table)), table.labels].mean()

    grid = np.geomspace(0.05, 20, 4000)
    best = grid[np.argmin([loss(t) for t in grid[::20]]) * 20]
    fine = minimize(lambda t: loss(t[0]), [best], method="Nelder-Mead").x[0]
    assert fit_calibration(table, "temperature").temperature == pytest.approx(fine, rel=1e-2)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_temperature_never_changes_the_decision(seed):
    table = simulate(seed, temperature=2.5)
    np.testing.assert_array_equal(fit_calibration(table, "temperature").apply(table).predicted, table.predicted)


def test_error_falls_on_images_that_were_not_fitted_on():
    fitted = fit_calibration(simulate(1, count=2000, temperature=3), "temperature")
    test = simulate(2, count=2000, temperature=3)
    before, after = calibration_metrics(test), calibration_metrics(fitted.apply(test))
    assert after["ece"] < before["ece"] / 3
    assert after["nll"] < before["nll"]


def test_vector_scaling_undoes_what_one_temperature_cannot():
    shift = {"factors": np.array([2.0, 1, 1, 0.5]), "offsets": np.array([1.5, 0, 0, -1.5])}
    val, test = simulate(1, count=4000, **shift), simulate(2, count=4000, **shift)
    by_method = {m: calibration_metrics(fit_calibration(val, m).apply(test))["nll"] for m in ("temperature", "vector")}
    assert by_method["vector"] < by_method["temperature"] - 0.05
    assert fit_calibration(val).method == "vector"


def test_auto_keeps_what_needs_no_repair_simple():
    assert fit_calibration(simulate(0, count=300, temperature=3)).method == "temperature"


def test_a_class_without_an_image_is_not_calibrated_away():
    shifted = simulate(3, count=2000, factors=np.array([1, 2, 0.5, 1]), offsets=np.array([0.8, 0, -0.8, 0]))
    assert fit_calibration(shifted).method == "vector"
    rows = np.flatnonzero(shifted.labels != 3)
    fitted = fit_calibration(
        Predictions(
            NAMES,
            rows.astype(str),
            [-1] * len(rows),
            shifted.labels[rows],
            shifted.probabilities[rows],
        )
    )
    assert fitted.method in {"none", "temperature"}
    assert "no validation image of d" in fitted.note
    np.testing.assert_array_equal(fitted.apply(shifted).predicted, shifted.predicted)


def test_tensors_and_tables_are_scaled_alike_whatever_constant_logits_carry():
    calibration = Calibration("vector", NAMES, (0.5, 1, 2, 1), (0.1, 0, -0.3, 0))
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = Predictions(NAMES, list("abcde"), [-1] * 5, [0] * 5, logits.softmax(1).numpy())
    np.testing.assert_allclose(calibration.probabilities(logits + 7), calibration.apply(table).probabilities)
    assert calibration.probabilities(logits.bfloat16()).dtype == torch.float32


def test_the_file_comes_back_and_other_classes_are_refused(tmp_path):
    fitted = fit_calibration(simulate(0), "vector")
    fitted.write_json(tmp_path / "calibration.json")
    assert Calibration.read_json(tmp_path / "calibration.json") == fitted
    other = Predictions(("x", "y", "c", "d"), ["1"], [-1], [0], [[1, 0, 0, 0]])
    with pytest.raises(InputError, match="fit it again"):
        fitted.apply(other)


WRONG_METHOD = '{"method": "magic", "class_names": ["a"], "scale": [1], "bias": [0]}'
NEGATIVE = '{"method": "vector", "class_names": ["a"], "scale": [-1], "bias": [0]}'


@pytest.mark.parametrize("text", [None, "", "[]", "{}", WRONG_METHOD, NEGATIVE])
def test_a_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"fit it again|needs one of"):
        Calibration.read_json(path)


def test_a_perfect_split_and_a_missing_class_are_said():
    labels = np.array([0, 1, 2] * 10)
    probabilities = np.full((30, 4), 0.1)
    probabilities[np.arange(30), labels] = 0.7
    fitted = fit_calibration(Predictions(NAMES, np.arange(30).astype(str), [-1] * 30, labels, probabilities))
    assert "every validation image is classified correctly" in fitted.note
    assert "no validation image of d" in fitted.note
    with pytest.raises(InputError, match="no image has a known label"):
        fit_calibration(Predictions(NAMES, ["1"], [-1], [-1], [[1, 0, 0, 0]]))
