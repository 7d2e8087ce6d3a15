"""Mirror images of a view, and which images are worth averaging over them.

What takes tensors is written so that TorchScript can compile it.
"""

from __future__ import annotations

import copy

import torch


def mirror_images(view: torch.Tensor) -> torch.Tensor:
    """Mirror images of a view.

    Args:
        view: (B, 3, H, W).

    Returns:
        (3 B, 3, H, W), three to an image: all left-right, then all up-down, then all both ways.

    Example:
        >>> mirror_images(torch.tensor([[[[1, 2], [3, 4]]]])).flatten(1).tolist()
        [[2, 1, 4, 3], [3, 4, 1, 2], [4, 3, 2, 1]]
    """
    return torch.cat([view.flip([-1]), view.flip([-2]), view.flip([-2, -1])])


def mean_over_mirrors(features: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Average the features of images and of their mirror images.

    Args:
        features: (B, F).
        mirrored: (3 B, F), in the order of `mirror_images`.

    Returns:
        (B, F).
    """
    return (features + mirrored.reshape(3, -1, features.shape[1]).sum(dim=0)) / 4


def unsure(logits: torch.Tensor, limit: float) -> torch.Tensor:
    """Find the images that mirror images might change the answer to.

    Args:
        logits: (B, C), before any calibration.
        limit: probability.

    Returns:
        int64 (U,): the rows whose most probable class is at most as probable.

    Example:
        >>> unsure(torch.tensor([[9.0, 0.0], [0.1, 0.0], [0.0, 9.0]]), 0.75).tolist()
        [1]
    """
    return torch.nonzero(logits.float().softmax(dim=1).amax(dim=1) <= limit).flatten()


def averages_flips(network: torch.nn.Module) -> float:
    """Return the probability up to which a network averages an image's mirror images; 0: never."""
    return float(getattr(network, "average_flips", 0))


def one_pass(network: torch.nn.Module) -> torch.nn.Module:
    """Make a network that looks at images as they are alone.

    Args:
        network: one of `fetal_monai.networks`, or any other.

    Returns:
        The network itself where it does so anyway; else another that shares its weights.
    """
    if not averages_flips(network):
        return network
    other = copy.copy(network)
    other.average_flips = 0.0  # type: ignore[assignment]  # a number, which nn.Module knows nothing of
    return other
