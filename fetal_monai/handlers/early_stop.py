"""Early stopping that knows its trainer."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator
from monai.handlers import EarlyStopHandler as MonaiEarlyStopHandler


class EarlyStopHandler(MonaiEarlyStopHandler):
    """MONAI's `EarlyStopHandler`, attached to the trainer and watching a validator's key metric.

    In a config the handlers of a trainer cannot refer to the trainer, which MONAI's handler asks for; this one takes
    the engine that it is attached to. Its counter can be saved with a training's checkpoint.

    Args:
        evaluator: the validator, an `Evaluator` with a key metric (greater is better).
        patience: validations without improvement before training ends.
        min_delta: smallest rise that counts as an improvement.
    """

    handler: EarlyStopping  # ignite's, which MONAI's wraps

    def __init__(self, evaluator: Evaluator, patience: int, min_delta: float = 0.0) -> None:
        def score(_: Engine) -> float:
            state: Any = evaluator.state
            return float(state.metrics[state.key_metric_name])

        super().__init__(patience=patience, score_function=score, min_delta=min_delta)

    def attach(self, engine: Engine) -> None:
        """Hook into the trainer, after its validation."""
        self.set_trainer(engine)
        super().attach(engine)

    def state_dict(self) -> dict[str, Any]:
        """Return the counter and the best score."""
        return dict(self.handler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counter and the best score."""
        self.handler.load_state_dict(state)
