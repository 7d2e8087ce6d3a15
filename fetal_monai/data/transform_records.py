"""What a chain of transforms depends on, in words: two chains with the same text make the same of the same file."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from fetal_monai.errors import FetalMonaiError

# What decodes and resizes: another version may differ by a grey level.
_PACKAGES = (
    *("fetal_monai", "monai", "torch", "numpy", "pydicom", "opencv-python-headless", "simplejpeg", "pyjpegls"),
    *("pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "imagecodecs", "av"),
)
_PLAIN = (str, int, float, bool, type(None))


def describe_transforms(transforms: Iterable[Any]) -> str:
    """Describe transforms by class and parameters, and the packages that do their work by version.

    Args:
        transforms: in order.

    Returns:
        JSON. The same in every process, as long as nothing changes that the results depend on.

    Raises:
        FetalMonaiError: if a parameter cannot be told from another one, such as a lambda.

    Example:
        >>> from monai.transforms import Flipd
        >>> one, other = (describe_transforms([Flipd("image", axis)]) for axis in (0, 1))
        >>> one == other, one == describe_transforms([Flipd("image", 0)])
        (False, True)
    """
    return json.dumps({"transforms": [_describe(one) for one in transforms], "versions": _versions()})


def _describe(value: Any) -> Any:  # noqa: C901, PLR0911  # one line a kind
    if isinstance(value, _PLAIN):
        return value
    if isinstance(config := getattr(value, "config", None), Mapping):  # of what records its arguments
        return _describe(config)
    if isinstance(value, Mapping):
        return {str(key): _describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_describe(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_describe(item)) for item in value)
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return [type(value).__name__, str(value.dtype), value.tolist()]
    if isinstance(value, (torch.dtype, np.dtype, PurePath)):
        return str(value)
    if isinstance(value, functools.partial):
        return [_describe(part) for part in (value.func, value.args, value.keywords)]
    if inspect.isroutine(value) or inspect.isclass(value):
        name = f"{value.__module__}.{value.__qualname__}"
        if "<" in name or getattr(value, "__self__", None) is not None:
            raise _unclear(name)
        return name
    if is_dataclass(value):
        return [_describe(type(value)), _describe(asdict(value))]  # type: ignore[arg-type]  # an instance: see above
    if not hasattr(value, "__dict__"):
        raise _unclear(type(value).__name__)
    return [_describe(type(value)), _describe(vars(value))]


def _unclear(name: str) -> FetalMonaiError:
    return FetalMonaiError(
        f"cache_dir: preprocessing holds a {name}, of which a cache on disk cannot tell whether it is still the same; "
        "write it as a class or a named function of a module, or leave cache_dir out"
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
