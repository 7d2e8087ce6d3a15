"""How a network runs: what the ways of `fetal-monai predict` share."""

from __future__ import annotations

from typing import TypedDict


class Running(TypedDict):
    """Options of `Predictor`, which explains them."""

    device: str | None
    batch_size: int | None
    workers: int | None
    engine: str
