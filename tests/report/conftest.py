import numpy as np
import pytest
from scipy.special import softmax

from fetal_monai.metrics import Predictions

NAMES = ["Femur", "Head (PPP, Tectum)", "Umbilical cord (Anterior abdominal wall)", "Other", "Cervix & <b>more</b>"]


def _draw(seed, count, prefix):
    """Four of five classes occur; the probabilities are too timid, so that there is something to calibrate."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, count, p=[0.4, 0.3, 0.2, 0.1, 0.0])
    logits = rng.normal(size=(count, 5))
    logits[np.arange(count), labels] += 3.5
    patients = [f"{prefix}{i // 3}" for i in range(count)]
    uids = [f"1.2.{prefix}.{i}" for i in range(count)]
    return Predictions(NAMES, uids, [-1] * count, labels, softmax(logits * 0.5, axis=1), patient_ids=patients)


@pytest.fixture(scope="session")
def splits():
    """Test and validation predictions of different patients."""
    return _draw(0, 120, 1), _draw(1, 300, 2)
