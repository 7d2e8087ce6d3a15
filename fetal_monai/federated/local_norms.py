"""Normalisation layers that stay at their site: withheld from what is sent, restored in what arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from fetal_monai.errors import FetalMonaiError

Keep = Literal["all", "statistics"]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LEARNT = ("weight", "bias")


class LocalNorms:
    """The pair of filters by which MONAI's `MonaiAlgo` keeps its BatchNorm layers to itself.

    Until a site has trained, it takes those of the server, so that all begin alike.

    Args:
        keep: "all" of each layer (FedBN, Li et al. 2021), or its "statistics" alone (SiloBN, Andreux et al. 2020).

    Raises:
        FetalMonaiError: if `keep` is neither.

    Example:
        >>> norms = LocalNorms()
        >>> mine = {"bn.weight": torch.ones(2), "bn.running_mean": torch.ones(2), "head.weight": torch.ones(2)}
        >>> sent = norms.withhold(ExchangeObject(weights=mine, weight_type=WeightType.WEIGHTS))
        >>> sorted(sent.weights), sorted(norms.restore(ExchangeObject(weights={"head.weight": torch.zeros(2)})).weights)
        (['head.weight'], ['bn.running_mean', 'bn.weight', 'head.weight'])
    """

    def __init__(self, keep: Keep = "all") -> None:
        if keep not in get_args(Keep):
            raise FetalMonaiError(f"keep is {keep!r}; it must be one of {', '.join(get_args(Keep))}")
        self.keep = keep
        self.kept: dict[str, torch.Tensor] = {}

    def withhold(self, data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
        """Remember the site's normalisation layers and leave them out.

        Args:
            data: the weights that `MonaiAlgo.get_weights` is about to return.
            extra: not looked at.

        Returns:
            The same without them.

        Raises:
            FetalMonaiError: for differences of weights, in which the layers themselves are not.
        """
        del extra
        if data.weight_type == WeightType.WEIGHT_DIFF:
            raise FetalMonaiError("local norms need the weights themselves; give MonaiAlgo send_weight_diff=False")
        weights = data.weights or {}
        local = norm_names(weights, self.keep)
        self.kept = {name: weights[name].detach().clone() for name in local}
        return _with_weights(data, {name: value for name, value in weights.items() if name not in local})

    def restore(self, data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
        """Put the site's own normalisation layers into weights that arrive.

        Args:
            data: what the server sends, to train or to evaluate.
            extra: not looked at.

        Returns:
            The same with the site's layers, once it has any.
        """
        del extra
        return _with_weights(data, {**(data.weights or {}), **self.kept})


def norm_names(names: Iterable[str], keep: Keep = "all") -> set[str]:
    """Find what belongs to normalisation layers: those that have a running mean.

    Args:
        names: of a state dict.
        keep: see `LocalNorms`.

    Returns:
        Some of the names.

    Example:
        >>> sorted(norm_names(["a.bn.running_mean", "a.bn.bias", "a.conv.bias"]))
        ['a.bn.bias', 'a.bn.running_mean']
    """
    names = list(names)
    layers = {name.rpartition(".")[0] for name in names if name.rpartition(".")[2] == "running_mean"}
    parts = _STATISTICS + (_LEARNT if keep == "all" else ())
    return {name for name in names if name.rpartition(".")[0] in layers and name.rpartition(".")[2] in parts}


def _with_weights(data: ExchangeObject, weights: Mapping[str, torch.Tensor]) -> ExchangeObject:
    return ExchangeObject(
        weights=dict(weights),
        optim=data.optim,
        metrics=data.metrics,
        weight_type=data.weight_type,
        statistics=data.statistics,
    )
