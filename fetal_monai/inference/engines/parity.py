"""How far an engine's answers may lie from the eager network's, and how far they do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.engines.engine import Engine


@dataclass(frozen=True)
class Limits:
    """What an engine must keep to.

    Args:
        relative: the greatest difference of logits and of features, relative to the greatest of either; None: any.
        agreement: the least share of images whose most probable class is the eager network's.
    """

    relative: float | None
    agreement: float


FLOAT32 = Limits(relative=1e-4, agreement=0.0)  # a tie may fall either way
INT8 = Limits(relative=None, agreement=0.95)


@dataclass(frozen=True)
class Parity:
    """How an engine compares with the eager network.

    Args:
        images: how many were compared.
        logits: the greatest difference, relative to the greatest logit (or 1, if that is smaller).
        features: likewise.
        probabilities: the greatest difference of uncalibrated probabilities.
        agreement: the share of images with the same most probable class.
    """

    images: int
    logits: float
    features: float
    probabilities: float
    agreement: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.images} images: logits differ by at most {self.logits:.1e} of the greatest, features by "
            f"{self.features:.1e}, probabilities by {self.probabilities:.1e}; the most probable class is the same in "
            f"{self.agreement:.1%}"
        )

    def within(self, limits: Limits) -> bool:
        """Whether it keeps to limits; never where something is not a number."""
        differences = (self.logits, self.features)
        close = limits.relative is None or all(difference <= limits.relative for difference in differences)
        return close and not any(map(math.isnan, differences)) and self.agreement >= limits.agreement


def compare(engine: Engine, reference: Engine, batches: Iterable[Sequence[torch.Tensor]]) -> Parity:
    """Let two engines look at the same images.

    Args:
        engine: the one to be judged.
        reference: the eager one, with features.
        batches: of views.

    Returns:
        Their differences.

    Raises:
        FetalMonaiError: if there is no image, or the shapes differ.
    """
    pairs = [(engine.forward(batch), reference.forward(batch)) for batch in batches]
    if not pairs:
        raise FetalMonaiError("there are no images to compare engines on; name some")
    columns = []
    for k in range(2):
        ours, theirs = ([side[k] for side in sides] for sides in zip(*pairs, strict=True))
        if any(a is None or b is None or a.shape != b.shape for a, b in zip(ours, theirs, strict=True)):
            raise FetalMonaiError("the engine gives outputs of other shapes than the network; export the model again")
        columns.append((torch.cat(ours).double().cpu(), torch.cat(theirs).double().cpu()))
    (logits, expected), (features, expected_features) = columns
    return Parity(
        images=len(logits),
        logits=_relative(logits, expected),
        features=_relative(features, expected_features),
        probabilities=float((logits.softmax(1) - expected.softmax(1)).abs().max()),
        agreement=float((logits.argmax(1) == expected.argmax(1)).double().mean()),
    )


def _relative(values: torch.Tensor, expected: torch.Tensor) -> float:
    return float((values - expected).abs().max() / expected.abs().max().clamp(min=1))
