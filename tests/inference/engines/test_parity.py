"""How an engine compares with PyTorch: limits and what is no number."""

from __future__ import annotations

import pytest

from fetal_monai.inference.engines.parity import FLOAT32, INT8, Parity


@pytest.mark.parametrize("limits", [FLOAT32, INT8])
def test_what_is_no_number_keeps_to_no_limits(limits):
    nan = float("nan")
    assert Parity(1, 0.0, 0.0, 0.0, 1.0).within(limits)
    assert not any(
        Parity(1, logits, features, 0.0, 1.0).within(limits) for logits, features in [(nan, 0.0), (0.0, nan)]
    )
