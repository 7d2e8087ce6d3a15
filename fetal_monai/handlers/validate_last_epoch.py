"""The last epoch is validated, whatever the interval."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator


class ValidateLastEpoch:
    """Validate after the last epoch where MONAI's `ValidationHandler` with its interval does not.

    Else the epochs since the last validation would be in no model folder. Attach it right after that handler.

    Args:
        validator: the validator.
        interval: epochs between its validations, as that handler has it.

    Example:
        >>> class Validator(Evaluator):
        ...     def __init__(self): pass
        ...     def run(self, global_epoch): print("validated after epoch", global_epoch)
        >>> trainer = Engine(lambda *_: None)
        >>> ValidateLastEpoch(Validator(), interval=3).attach(trainer)
        >>> _ = trainer.run([0], max_epochs=4)
        validated after epoch 4
    """

    def __init__(self, validator: Evaluator, interval: int) -> None:
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Hook into the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate if this is the last epoch, and not one of the interval's."""
        if engine.state.epoch == engine.state.max_epochs and engine.state.epoch % self.interval:
            self.validator.run(engine.state.epoch)
