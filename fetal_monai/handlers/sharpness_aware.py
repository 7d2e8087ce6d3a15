"""Sharpness-aware minimization: each step learns where the loss near the weights is worst."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn
from torch.utils.hooks import RemovableHandle

from fetal_monai.errors import FetalMonaiError


class SharpnessAware:
    """Take each step's gradient not at the weights, but a little uphill (Foret et al. 2021, arXiv 2010.01412).

    The first gradient leads to the weights within a radius at which the batch's loss is worst, to first order; the
    network runs once more there, with another draw of dropout, and the optimizer steps from the old weights by the
    second gradient. That takes twice the time per step and leads to flat minima. Losses and predictions that the
    trainer reports are of the first run, and so are BatchNorm statistics. It remembers nothing from step to step, so
    that a resumed training goes on as the first would have.

    In several processes the way uphill is that of all together, for it follows from the gradient that they share.

    Args:
        radius: how far uphill, in the L2 norm of all weights that the optimizer has; above 0. The paper's rho.

    Raises:
        FetalMonaiError: if the radius is not above 0, or not finite; when a trainer that accumulates gradients starts.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(network.weight)
        >>> trainer = SupervisedTrainer(
        ...     "cpu", 1, [{"image": torch.ones(1, 1), "label": torch.zeros(1, 1)}], network,
        ...     torch.optim.SGD(network.parameters(), lr=0.1), nn.MSELoss(), decollate=False)
        >>> SharpnessAware(radius=0.5).attach(trainer)
        >>> trainer.run()
        >>> round(network.weight.item(), 3)  # 1 - 0.1 x the slope of w² at 1.5
        0.7
    """

    def __init__(self, radius: float = 0.05) -> None:
        if not 0 < radius < math.inf:
            raise FetalMonaiError(f"the radius of sharpness-aware minimization is {radius}; give a number above 0")
        self.radius = radius
        self._call: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        self._hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Hook into a MONAI `SupervisedTrainer`.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._start)  # MONAI attaches before the trainer has its network
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Replace the gradient of the step by that of the worst weights nearby."""
        if self._call is None:
            raise FetalMonaiError("sharpness-aware minimization found no forward pass of the trainer's network")
        (image, *views), named = self._call
        groups = engine.optimizer.param_groups
        learning = [weight for group in groups for weight in group["params"] if weight.grad is not None]
        uphill = [weight.grad for weight in learning]
        if engine.scaler is not None:  # scaled gradients may be finite, and the sum of their squares not
            uphill = [way / engine.scaler.get_scale() for way in uphill]
        length = nn.utils.get_total_norm(uphill)
        # Else this is an optimum; or 16-bit floats have overflowed, and the trainer's scaler leaves the step out.
        if length.isfinite() and length > 0:
            with _put_back([*learning, *engine.network.buffers()]):  # BatchNorm counts no batch twice
                with torch.no_grad():
                    for weight, way in zip(learning, uphill, strict=True):
                        weight.add_(way * (self.radius / length))
                engine.optimizer.zero_grad()
                with _autocast_of(engine):
                    prediction = engine.inferer(image, engine.network, *views, **named)
                    loss = engine.loss_function(prediction, engine.state.output["label"]).mean()
                (loss if engine.scaler is None else engine.scaler.scale(loss)).backward()
        self._call = None  # a batch may be large

    def _start(self, engine: SupervisedTrainer) -> None:
        if engine.accumulation_steps > 1:
            raise FetalMonaiError(
                "sharpness-aware minimization looks at one batch for each step, and gradients are accumulated over "
                f"{engine.accumulation_steps}; set accumulate to 1, or leave the recipe out"
            )
        if self._hook is not None:
            self._hook.remove()
        self._hook = engine.network.register_forward_pre_hook(self._remember, with_kwargs=True)

    def _remember(self, network: nn.Module, views: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if network.training:
            self._call = views, named


@contextmanager
def _put_back(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """Give tensors back the values that they have now, to the bit."""
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, old in zip(tensors, before, strict=True):
                tensor.copy_(old)


def _autocast_of(engine: SupervisedTrainer) -> AbstractContextManager[Any]:
    """The trainer's own 16-bit floats, which it has on a GPU alone."""
    return nullcontext() if engine.scaler is None else torch.autocast("cuda", **engine.amp_kwargs)
