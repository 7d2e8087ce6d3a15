"""What every engine is: a network that turns views into logits and into the features that its head sees."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from monai.transforms import Compose

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.prediction import ModelIdentity


class Engine(Protocol):
    """Runs one model's network.

    Attributes:
        name: what predictions record: the library, its version and the precision.
        lanes: batches that it works on at once. With one, `forward` is for one thread at a time, else for any number.
    """

    name: str
    lanes: int

    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Classify.

        Args:
            batch: the views, float32 (B, 3, h, w) each, in the order of the preprocessing; B may differ between calls.

        Returns:
            Logits (B, C), and the features (B, F) that the head sees: None where an engine was not asked for them.
        """


@dataclass(frozen=True, eq=False)
class EngineModel:
    """What an engine is made of.

    Args:
        folder: the model folder, where exported files are looked for.
        network: in evaluation mode, in float32.
        preprocessing: from a decoded frame to the network's views.
        identity: what an exported file must belong to.
        class_names: the C classes, in the order of the logits.
        throughput: where an engine has the choice, many images a second rather than each of them soon.
    """

    folder: Path
    network: torch.nn.Module
    preprocessing: Compose
    identity: ModelIdentity
    class_names: tuple[str, ...]
    throughput: bool = False


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it.

    Args:
        package: its name in Python.
    """
    return importlib.util.find_spec(package) is not None


def require(*packages: str) -> None:
    """Say which extra is missing.

    Args:
        packages: what is about to be imported.

    Raises:
        FetalMonaiError: if one is not installed.
    """
    if missing := [package for package in packages if not installed(package)]:
        raise FetalMonaiError(f"needs the package {missing[0]}; install it: pip install 'fetal_monai[engines]'")
