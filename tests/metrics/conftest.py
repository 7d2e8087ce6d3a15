import numpy as np
import pytest
from scipy.special import softmax

from fetal_monai.metrics import Predictions


def _simulate(seed, *, count=300, classes=4, sharpness=1.0, patients=None, decimals=None):
    """Labels drawn from the probabilities; `sharpness` other than 1 makes them dishonest, `decimals` makes ties."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)) * 2
    if decimals is not None:
        logits = logits.round(decimals)
    truth = softmax(logits, axis=1)
    labels = (truth.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(max=classes - 1)
    ids = None if patients is None else rng.integers(0, patients, count).astype(str)
    names = [f"class {i}" for i in range(classes)]
    return Predictions(
        names, np.arange(count).astype(str), [-1] * count, labels, softmax(logits * sharpness, axis=1), patient_ids=ids
    )


@pytest.fixture(scope="session")
def simulate():
    return _simulate
