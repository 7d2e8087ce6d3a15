"""The calibrated log-likelihood against scikit-learn's log loss over a grid of temperatures, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from ignite.metrics import EpochMetric
from scipy.special import softmax
from sklearn.metrics import log_loss

from fetal_monai.metrics import calibrated_log_likelihood


def draw(seed, size=60, classes=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, size)
    logits = random.normal(size=(size, classes)) + 1.5 * np.eye(classes)[labels]
    return torch.from_numpy(logits), torch.from_numpy(labels)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10.0))
@settings(max_examples=25, deadline=None)
def test_it_is_the_best_of_all_temperatures_and_knows_no_scale(seed, scale):
    logits, labels = draw(seed)
    value = calibrated_log_likelihood(logits, labels)
    grid = [-log_loss(labels, softmax(logits.numpy() / t, axis=1), labels=range(4)) for t in np.geomspace(0.05, 20, 60)]
    assert max(grid) <= value + 1e-9
    assert value - max(grid) < 5e-3
    assert calibrated_log_likelihood(logits * scale, labels) == pytest.approx(value, abs=1e-6)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    assert calibrated_log_likelihood(logits[order], labels[order]) == pytest.approx(value, abs=1e-9)


def test_limits():
    logits, labels = draw(0)
    assert calibrated_log_likelihood(100 * torch.eye(4)[labels], labels) == pytest.approx(0, abs=1e-6)
    assert calibrated_log_likelihood(-100 * torch.eye(4)[labels], labels) == pytest.approx(-math.log(4), abs=0.6)
    assert math.isnan(calibrated_log_likelihood(logits * math.nan, labels))


def test_an_engine_computes_it_over_batches():
    logits, labels = draw(1)
    engine = Engine(lambda _, batch: (logits[batch], labels[batch]))
    EpochMetric(calibrated_log_likelihood, check_compute_fn=False).attach(engine, "value")
    engine.run([slice(0, 25), slice(25, 60)])
    assert engine.state.metrics["value"] == pytest.approx(calibrated_log_likelihood(logits, labels))
