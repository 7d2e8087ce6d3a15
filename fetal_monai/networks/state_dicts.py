"""Reading state dicts without running code in them, and loading them with a mismatch report that fits a screen."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from fetal_monai.errors import InputError

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # how a file of torch.save begins, since 1.6 and before
_DAMAGED = "it is no checkpoint of torch.save, or it is damaged or cut off; copy it again"
_SHOWN = 4  # keys listed of each kind


def read_state_dict(path: str | PathLike[str]) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint on the CPU; anything that would run code is refused.

    A state dict may lie under the key `state_dict`, `model` or `network`, and its keys may have the prefix `module.` of
    a network that was trained in parallel.

    Args:
        path: a file written by torch.save.

    Raises:
        InputError: if the file is missing, is no checkpoint, holds more than tensors, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, ["there is no such file; check the path"])
    try:
        with path.open("rb") as file:
            began_as_torch_does = file.read(len(_ZIP)).startswith((_ZIP, _PICKLE))
        content = torch.load(path, map_location="cpu", weights_only=True) if began_as_torch_does else None
    except pickle.UnpicklingError as error:
        cause = "it holds pickled Python objects, which can run code when loaded, or it is damaged"
        remedy = "save the state dict alone, on a machine that may trust the file: torch.save(model.state_dict(), path)"
        raise InputError(path, [f"{cause}; {remedy}"]) from error
    except OSError as error:
        raise InputError(path, [f"it cannot be read ({error.strerror or error}); look at its permissions"]) from error
    except Exception as error:  # torch lets through whatever a damaged file leads to
        raise InputError(path, [_DAMAGED]) from error
    if not began_as_torch_does:
        raise InputError(path, [_DAMAGED])
    for key in ("state_dict", "model", "network"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, torch.Tensor) for v in content.values())
    ):
        raise InputError(path, ["it holds no state dict (names with tensors); save model.state_dict()"])
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def load_strictly(network: nn.Module, weights: Mapping[str, torch.Tensor], *, source: str | PathLike[str]) -> None:
    """Load weights that must fit in every key and shape; nothing is loaded when they do not.

    Args:
        network: the module to fill.
        weights: the state dict, in the network's own keys.
        source: where it comes from, for the error.

    Raises:
        InputError: with a few lines: how many keys are missing, left over or of another shape, and examples of each.

    Example:
        >>> try:
        ...     load_strictly(nn.Linear(2, 16), nn.Linear(2, 9).state_dict(), source="best.pth")
        ... except InputError as error:
        ...     print(error)
        best.pth: 1 problem
          2 of another shape: weight (9, 2) instead of (16, 2), bias (9,) instead of (16,)
    """
    own = network.state_dict()
    missing = [key for key in own if key not in weights]
    unknown = [key for key in weights if key not in own]
    reshaped = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in weights.items()
        if key in own and value.shape != own[key].shape
    ]
    kinds = {"missing": missing, "not of this network": unknown, "of another shape": reshaped}
    problems = [f"{len(keys)} {kind}: {_examples(keys)}" for kind, keys in kinds.items() if keys]
    if problems:
        raise InputError(source, problems)
    network.load_state_dict(weights)


def _examples(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
