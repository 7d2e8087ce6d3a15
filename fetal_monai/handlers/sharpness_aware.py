"""Sharpness-aware minimization: each step learns where the loss near the weights is worst."""

from __future__ import annotations

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
    network runs once more there, and the optimizer steps from the old weights by the second gradient. That takes
    twice the time a step and leads to flat minima. Losses and predictions that the trainer reports are of the first
    run, and so are BatchNorm statistics. It remembers nothing from step to step, so that a resumed training goes on as
    the first would have.

    In several processes the way uphill is that of all together, for it follows from the gradient that they share.

    Args:
        radius: how far uphill, in the L2 norm of all weights; above 0. The paper's rho.

    Raises:
        FetalMonaiError: if the radius is not above 0; as a trainer starts that accumulates gradients.

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
        if not radius > 0:
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
        learning = [parameter for parameter in engine.network.parameters() if parameter.grad is not None]
        uphill = [parameter.grad for parameter in learning if parameter.grad is not None]
        length = nn.utils.get_total_norm(uphill)
        # Else this is an optimum; or 16-bit floats have overflowed, and the trainer's scaler leaves the step out.
        if length.isfinite() and length > 0:
            engine.optimizer.zero_grad()  # lets go of these gradients, and does not fill them with zeros
            with _moved(learning, uphill, self.radius / length), _norm_statistics_kept(engine.network):
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
def _moved(weights: Sequence[torch.Tensor], along: Sequence[torch.Tensor], far: torch.Tensor) -> Iterator[None]:
    """Move weights, and put them back to the bit."""
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, way in zip(weights, along, strict=True):
            weight.add_(way * far)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)


@contextmanager
def _norm_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalise by the batch as before, and not count it twice."""
    norms: list[Any] = [
        part for part in network.modules() if part.training and getattr(part, "track_running_stats", False)
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _autocast_of(engine: SupervisedTrainer) -> AbstractContextManager[Any]:
    """The trainer's own 16-bit floats, which it has on a GPU alone."""
    return torch.autocast("cuda", **engine.amp_kwargs) if engine.amp and engine.scaler is not None else nullcontext()
