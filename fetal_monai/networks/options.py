"""The options that recipes switch on, checked against the network that was built."""

from __future__ import annotations

from typing import Any

from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.serialization import TARGET

_RECIPES = {
    "auxiliary_heads": "recipes/auxiliary_heads.yaml",
    "freeze_backbones": "recipes/frozen_backbones.yaml",
    "frozen_norm_stages": "recipes/best.yaml",
    "average_flips": "recipes/best.yaml",
}


def check_options(network: nn.Module, **options: Any) -> None:
    """Refuse an option that the network was not built with, before a training runs without it.

    A recipe sets a key of the configuration; it acts on those networks only whose `network_def` refers to the key.

    Args:
        network: one whose class derives from `Recorded`; others have none of the options.
        options: by name, as the configuration has them, of the classifier or of its backbones; those that are off or
            zero are no matter.

    Raises:
        FetalMonaiError: if one is on and the network has no such option, or was built with another value.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier
        >>> network = SingleBranchClassifier(16, ResNetBackbone(18), freeze_backbones=True)
        >>> check_options(network, freeze_backbones=True, auxiliary_heads=False)
        >>> check_options(network, auxiliary_heads=True)
        Traceback (most recent call last):
        ...
        fetal_monai.errors.FetalMonaiError: auxiliary_heads is True (recipes/auxiliary_heads.yaml), but \
SingleBranchClassifier has no such option; leave it out, or choose another network
    """
    built: dict[str, Any] = getattr(network, "config", {})
    backbones = [record for record in built.values() if isinstance(record, dict) and TARGET in record]
    kind = type(network).__name__
    for name, value in options.items():
        found = [record[name] for record in (built, *backbones) if name in record]
        if not value or (found and all(one == value for one in found)):
            continue
        said = f"{name} is {value} ({_RECIPES.get(name, 'from the configuration')})"
        if found:
            raise FetalMonaiError(
                f'{said}, but {kind} was built with {found[0]}; leave it out, or write {name}: "@{name}" into '
                "the network_def of the network's overlay"
            )
        raise FetalMonaiError(f"{said}, but {kind} has no such option; leave it out, or choose another network")
