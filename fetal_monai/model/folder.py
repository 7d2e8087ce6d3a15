"""A trained model on disk: `model.pt`, a plain state dict, and `model.json`, the facts that rebuild all around it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose

from fetal_monai.errors import OTHER_CLASSES, InputError
from fetal_monai.model.description import describe_preprocessing
from fetal_monai.model.facts import FACTS_FILE, ModelFacts, read_facts
from fetal_monai.model.file_digests import FILES, check_files
from fetal_monai.networks.mirror_images import averages_flips
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict
from fetal_monai.utils.serialization import TARGET, rebuild
from fetal_monai.utils.tensor_files import save_tensors

WEIGHTS_FILE = "model.pt"


def load_model(folder: str | PathLike[str]) -> tuple[torch.nn.Module, Compose, ModelFacts]:
    """Rebuild a trained model from its folder. No code from the folder runs.

    Args:
        folder: the model folder.

    Returns:
        The network in evaluation mode on the CPU, in float32 also where the file holds float16; the preprocessing from
        a decoded frame (uint8 (3, H, W) under `image`) to the network's views; and the facts.

    Raises:
        InputError: if a file is missing or damaged, or the weights do not fit the network.
        FetalMonaiError: if the facts name classes that this version does not have.
    """
    facts = read_facts(folder)
    network: torch.nn.Module = rebuild(facts.network)
    _load_state(network, folder, facts)
    return network.eval(), _rebuild_preprocessing(facts), facts


def load_preprocessing(folder: str | PathLike[str]) -> Compose:
    """Rebuild the preprocessing of a trained model alone; the weights are not looked at.

    Args:
        folder: the model folder.

    Returns:
        From a decoded frame (uint8 (3, H, W) under `image`) to the network's views.

    Raises:
        InputError: if `model.json` is missing or no such file.
        FetalMonaiError: if it names classes that this version does not have.
    """
    return _rebuild_preprocessing(read_facts(folder))


def _rebuild_preprocessing(facts: ModelFacts) -> Compose:
    return Compose([rebuild(record) for record in facts.preprocessing])


def load_weights(
    network: torch.nn.Module,
    folder: str | PathLike[str],
    class_names: Sequence[str],
    preprocessing: Compose | None = None,
) -> torch.nn.Module:
    """Load the weights of a model folder into a network that a config describes.

    Args:
        network: a network of the same architecture.
        folder: the model folder.
        class_names: the classes of the config; they must be the model's.
        preprocessing: the transforms of the config; they must be the model's, too, and so must `average_flips`, for the
            network to see what it was trained on and what `Predictor` will show it. None leaves both unchecked.

    Returns:
        The network itself, so that a configuration can continue with it.

    Raises:
        InputError: if the folder is incomplete, its classes, transforms or `average_flips` are others, or its weights
            do not fit.
    """
    facts = read_facts(folder)
    if list(class_names) != facts.class_names:
        problem = (
            f"the model knows {len(facts.class_names)} classes ({', '.join(facts.class_names)}), the configuration "
            f"{len(class_names)} others ({', '.join(class_names)}); give the overlay of the training's data set, or "
            f"{OTHER_CLASSES}"
        )
        raise InputError(Path(folder, FACTS_FILE), [problem])
    if preprocessing is not None:
        # Rebuilt, records of an older version know the arguments that came since, at their defaults.
        trained = [rebuild(record).config for record in facts.preprocessing]
        problems = _differences(trained, describe_preprocessing(preprocessing))
        ours, theirs = float(facts.network.get("average_flips", 0)), averages_flips(network)
        if ours != theirs:
            remedy = f"add --average_flips {ours:g}, so that what is fitted fits the model"
            problems.append(f"the model has average_flips {ours:g}, the configuration {theirs:g}; {remedy}")
        if problems:
            raise InputError(Path(folder, FACTS_FILE), problems)
    _load_state(network, folder, facts)
    return network


def _differences(trained: list[dict[str, Any]], configured: list[dict[str, Any]]) -> list[str]:
    """What the preprocessing of a config does otherwise than a model's, a line each."""
    remedy = "give the overlays and options of its training"
    names = [[record[TARGET].rpartition(".")[2] for record in records] for records in (trained, configured)]
    if names[0] != names[1]:
        return [
            f"the model was trained with {', '.join(names[0])}, the configuration has {', '.join(names[1])}; {remedy}"
        ]
    return [
        f"the model was trained with {name}({key}={old.get(key)}), the configuration says {new.get(key)}; {remedy}"
        for name, old, new in zip(names[0], trained, configured, strict=True)
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def save_weights(network: torch.nn.Module, path: str | PathLike[str]) -> None:
    """Write the weights of a model folder, whole or not at all.

    Args:
        network: the network.
        path: the file, `model.pt` of the folder.

    Raises:
        OSError: if it cannot be written.
    """
    save_tensors(network.state_dict(), path)


def _load_state(network: torch.nn.Module, folder: str | PathLike[str], facts: ModelFacts) -> None:
    path = Path(folder, WEIGHTS_FILE)
    if not path.exists():
        raise InputError(path, ["there is no such file; the model folder is incomplete"])
    if listed := facts.release.get(FILES, {}).get(WEIGHTS_FILE):
        check_files(
            folder, {WEIGHTS_FILE: listed}, remedy="copy the released model again, or name another model folder"
        )
    weights = read_state_dict(path)
    try:
        load_strictly(network, weights, source=path)
    except InputError as error:
        problem = "not the weights of this network; give the training's network overlay"
        raise InputError(path, [problem, *error.problems]) from None
