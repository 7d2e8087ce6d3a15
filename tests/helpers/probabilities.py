"""What a predictor says, as an array."""

from __future__ import annotations

import numpy as np


def rows(found):
    """A row of probabilities for each prediction."""
    return np.stack([item.probabilities for item in found])
