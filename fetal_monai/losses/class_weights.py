"""Class weights and margins from the counts of the training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fetal_monai.errors import FetalMonaiError, InputError


def effective_number_weights(
    class_counts: Sequence[int], beta: float = 0.9999, *, class_names: Sequence[str] | None = None
) -> torch.Tensor:
    """Weigh each class by the inverse of its effective number of images (Cui et al. 2019, arXiv 1901.05555).

    w_c = (1 - beta) / (1 - beta ** n_c), scaled to sum to the number of classes. beta = 0 gives all ones; beta towards
    1 gives the inverse frequency.

    Args:
        class_counts: training images of each class, all above 0.
        beta: in [0, 1).
        class_names: names for the errors.

    Returns:
        float32 (C,).

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `beta` is out of range.

    Example:
        >>> effective_number_weights([90, 10], beta=0.9)
        tensor([0.7889, 1.2111])
    """
    if not 0 <= beta < 1:
        raise FetalMonaiError(f"beta is {beta}; it must be in [0, 1)")
    counts = checked_counts(class_counts, class_names)
    # expm1 and log1p, because 1 - beta ** n cancels when beta is near 1 and n small.
    weights = -(1 - beta) / torch.expm1(counts * torch.log1p(torch.tensor(-(1 - beta), dtype=torch.float64)))
    return _scaled(weights)


def inverse_frequency_weights(
    class_counts: Sequence[int], power: float = 1.0, *, class_names: Sequence[str] | None = None
) -> torch.Tensor:
    """Weigh each class by n_c ** -power, scaled to sum to the number of classes.

    Args:
        class_counts: training images of each class, all above 0.
        power: in [0, 1]: 0 gives all ones, 0.5 the inverse square root, 1 the inverse frequency.
        class_names: names for the errors.

    Returns:
        float32 (C,).

    Raises:
        InputError: if a class has no training image.
        FetalMonaiError: if `power` is out of range.

    Example:
        >>> inverse_frequency_weights([90, 10])
        tensor([0.2000, 1.8000])
        >>> inverse_frequency_weights([90, 10], power=0.5)
        tensor([0.5000, 1.5000])
    """
    if not 0 <= power <= 1:
        raise FetalMonaiError(f"power is {power}; it must be in [0, 1]")
    return _scaled(checked_counts(class_counts, class_names) ** -power)


def ldam_margins(
    class_counts: Sequence[int], max_margin: float = 0.5, *, class_names: Sequence[str] | None = None
) -> torch.Tensor:
    """Give each class the margin proportional to n_c ** -1/4, the largest being `max_margin` (Cao et al. 2019, eq. 13).

    Args:
        class_counts: training images of each class, all above 0.
        max_margin: the margin of the rarest class, 0 or more.
        class_names: names for the errors.

    Returns:
        float32 (C,).

    Raises:
        InputError: if a class has no training image.

    Example:
        >>> ldam_margins([1600, 100])
        tensor([0.2500, 0.5000])
    """
    margins = checked_counts(class_counts, class_names) ** -0.25
    return (margins * (max_margin / margins.max())).float()


def checked_counts(class_counts: Sequence[int], class_names: Sequence[str] | None = None) -> torch.Tensor:
    """Return the counts as float64 (C,), or name the classes without a training image.

    Raises:
        InputError: if a class has no training image, or there are not as many names as counts.
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if class_names is not None and len(class_names) != len(counts):
        raise InputError("class_counts", [f"{len(counts)} counts for {len(class_names)} class names"])
    remedy = "add images of it to the training split, merge it into another class, or remove it from the classes"
    problems = [
        f"class {index}{f' ({class_names[index]})' if class_names else ''} has no training image; {remedy}"
        for index in torch.nonzero(counts <= 0).flatten().tolist()
    ]
    if problems or not len(counts):
        raise InputError("class_counts", problems or ["there are no classes"])
    return counts


def _scaled(weights: torch.Tensor) -> torch.Tensor:
    return (weights * (len(weights) / weights.sum())).float()
