"""What a training started with, as plain values: a training that goes on must have started alike."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

EPOCH_LENGTH = "epoch_length"
# How a step is computed, and not what it is: a training may go on on another device.
_NO_MATTER = {"fused", "foreach", "capturable"}
_PLAIN = (str, int, float, bool, type(None))
# A schedule's state also says how far it is, and repeats the optimizer's rates.
_NO_OPTIONS = {"last_epoch", "base_lrs", "_last_lr", "_step_count", "_is_initial", "_get_lr_called_within_step"}
# Of a schedule that has run, these are known to stand where they stood: the bundle's recipes have no others.
_NEVER_STEPPED = ("T_max", "eta_min", "t_total", "warmup_steps", "warmup_multiplier")


def describe_start(
    objects: Mapping[str, Any], epoch_length: int | None, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Describe a training before its first step.

    Args:
        objects: by name; the optimizers and the schedules among them are described.
        epoch_length: iterations of an epoch.
        settings: further values to include, by name: plain ones, or components such as a loss.

    Returns:
        Plain values by dotted name: the epoch length, the settings, the class and the options of each optimizer,
        schedule and component. Learning rates are those before any schedule.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
        >>> start = describe_start({"optimizer": optimizer, "lr_scheduler": schedule}, 42)
        >>> start["epoch_length"], start["optimizer"], start["optimizer[0].lr"], start["lr_scheduler.T_max"]
        (42, 'SGD', 0.1, 5)
    """
    start = {EPOCH_LENGTH: epoch_length, **_flat("", settings or {})}
    for name, value in objects.items():
        if isinstance(value, Optimizer):
            groups = [_group_options(group) for group in value.param_groups]
            start |= {name: type(value).__name__, f"{name}.groups": len(groups), **_flat(name, groups)}
        elif isinstance(value, LRScheduler):
            start |= {name: type(value).__name__, **_flat(name, value.state_dict())}
    return start


def guess_start(checkpoint: Mapping[str, Any], objects: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what a checkpoint that holds no such description tells of its training's start.

    Args:
        checkpoint: states by name.
        objects: of the training that is to go on, by name.

    Returns:
        As `describe_start`, as far as it can be known.
    """
    scheduled = any(isinstance(value, LRScheduler) for value in objects.values())
    start = _flat("", {key: value for key, value in checkpoint.get("trainer", {}).items() if key == EPOCH_LENGTH})
    for name in objects.keys() & checkpoint.keys():
        state = checkpoint[name]
        if isinstance(objects[name], LRScheduler):
            start |= _flat(name, {key: state[key] for key in _NEVER_STEPPED if key in state})
        elif isinstance(objects[name], Optimizer):
            groups = [_group_options(group) for group in state["param_groups"]]
            if scheduled:  # it may have changed anything but the rate that it noted
                noted = ["initial_lr" in group for group in state["param_groups"]]
                groups = [{"lr": g["lr"]} if known else {} for g, known in zip(groups, noted, strict=True)]
            start |= {f"{name}.groups": len(groups), **_flat(name, groups)}
    return start


def _group_options(group: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in group.items() if key not in {"params", "initial_lr", *_NO_MATTER}}
    if "initial_lr" in group:  # a schedule has noted it before it changed the rate
        options["lr"] = group["initial_lr"]
    return options


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Plain values by dotted name, also those of components; what is neither, such as a function, is left out."""
    value = value.tolist() if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) else value
    value = value.value if isinstance(value, Enum) else value  # which a checkpoint of plain values could not hold
    if isinstance(value, Mapping):
        items = {f"{name}.{key}" if name else str(key): item for key, item in value.items() if key not in _NO_OPTIONS}
    elif isinstance(value, (list, tuple)):
        if all(isinstance(item, _PLAIN) for item in value):
            return {name: list(value)}
        items = {f"{name}[{index}]": item for index, item in enumerate(value)}
    elif isinstance(value, _PLAIN):
        return {name: value}
    else:
        return {name: type(value).__name__, **_flat(name, _shown(value))} if _is_component(value) else {}
    return {key: plain for item_name, item in items.items() for key, plain in _flat(item_name, item).items()}


def _is_component(value: object) -> bool:
    """Whether a value is a loss, a way to mix batches or the like, and no function, class or tensor."""
    return hasattr(value, "__dict__") and not inspect.isroutine(value) and not isinstance(value, (type, torch.Tensor))


def _shown(component: Any, *, parts: bool = True) -> dict[str, Any]:
    """What a component was made with, as far as it shows: plain attributes, class weights, and those of its parts."""
    attributes = {key: value for key, value in vars(component).items() if not key.startswith("_")}
    shown: dict[str, Any] = {key: item for key, item in attributes.items() if isinstance(item, (*_PLAIN, Enum))}
    if isinstance(component, torch.nn.Module):
        shown |= {key: _rounded(buffer) for key, buffer in component.named_buffers(recurse=False)}
    for key, part in attributes.items() if parts else ():
        if key not in shown and _is_component(part):
            shown[key] = type(part).__name__
            shown |= {f"{key}.{name}": value for name, value in _shown(part, parts=False).items()}
    return shown


def _rounded(weights: torch.Tensor) -> list[float]:
    """Four digits: a device or a processor may compute the others otherwise."""
    return [float(f"{weight:.4g}") for weight in weights.flatten().tolist()]
