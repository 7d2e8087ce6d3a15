"""An average of the weights that survives a resume."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler


class WeightAverage(EMAHandler):
    """ignite's exponential moving average of a network, whose momentum follows from the trainer's iteration.

    ignite counts a warm-up from the start of the process, so that a resumed training would forget its average. Attach
    it to the trainer after `TrainingCheckpoint`, which saves and restores `ema_model`.

    Args:
        model: the network that is trained.
        momentum: share of the newest weights, in (0, 1); the average spans about 1 / momentum iterations.
        momentum_warmup: share in the first iteration; 1 forgets the initial weights at once.
        warmup_iters: iterations until the share has fallen to `momentum`, linearly.
        handle_buffers: "update" averages BatchNorm statistics as the weights, "copy" takes those of the last iteration,
            "ema_train" leaves the initial ones.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> trainer = Engine(lambda engine, _: torch.nn.init.constant_(model.weight, engine.state.iteration))
        >>> average = WeightAverage(model, momentum=0.5, momentum_warmup=1.0, warmup_iters=2)
        >>> average.attach(trainer)
        >>> _ = trainer.run([0, 0, 0])
        >>> average.ema_model.weight.item()  # of 1, then (1 + 2) / 2, then (1.5 + 3) / 2
        2.25
    """

    def attach(self, engine: Engine, *arguments: Any, **options: Any) -> None:
        """Hook into a trainer; the arguments are those of ignite's handler."""
        super().attach(engine, *arguments, **options)
        engine.add_event_handler(Events.STARTED, self._catch_up)

    def _catch_up(self, engine: Engine) -> None:
        scheduler = getattr(self, "momentum_scheduler", None)  # there is none without a warm-up
        if scheduler is not None:
            scheduler.event_index = engine.state.iteration
