"""A trained model on disk: `model.pt`, a plain state dict, and `model.json`, the facts that rebuild all around it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, LoadImaged

import fetal_monai
from fetal_monai.errors import OTHER_CLASSES, FetalMonaiError, InputError
from fetal_monai.model.released_model import FACTS_FILE, FILES, check_files
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict
from fetal_monai.utils.files import atomic_path
from fetal_monai.utils.serialization import TARGET, Recorded, rebuild

WEIGHTS_FILE = "model.pt"
FORMAT = 1
NOTICE = "Research software. Not a medical device: not for diagnosis, treatment or triage."
_VERSIONS_OF = ("monai", "torch", "pytorch-ignite", "numpy", "pydicom", "opencv-python-headless", "simplejpeg")


@dataclass(frozen=True)
class ModelFacts:
    """What must be known of a model besides its weights.

    Args:
        class_names: in the order of the logits.
        network: the record that rebuilds the network (see `fetal_monai.utils.serialization`).
        preprocessing: the records of the transforms between the decoded frame and the network's views, in order.
        data: the fingerprint of the training data: counts per split and class, and a digest of the labels.
        software: versions and the revision of the source.
        release: name, version, and sizes and digests of the files; empty but for what `write_release` wrote.
    """

    class_names: list[str]
    network: dict[str, Any]
    preprocessing: list[dict[str, Any]]
    data: dict[str, Any] = field(default_factory=dict)
    software: dict[str, Any] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)


def describe_model(
    network: Recorded,
    preprocessing: Compose,
    class_names: Sequence[str],
    datalists: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> ModelFacts:
    """Collect the facts of a model that is about to be trained.

    Args:
        network: the network; its class and its backbones' derive from `Recorded`.
        preprocessing: the deterministic transforms of validation; after `LoadImaged` each derives from `Recorded`.
        class_names: in the order of the logits.
        datalists: train, val and test items with `SOPInstanceUID`, `frame`, `class` and `patient_id`.

    Returns:
        The facts, all plain values.

    Raises:
        FetalMonaiError: if the network or a transform cannot be rebuilt from a record.
    """
    if not isinstance(network, Recorded):
        raise FetalMonaiError(
            f"the network {type(network).__name__} cannot be recorded in a model folder; "
            "derive its class from fetal_monai.utils.serialization.Recorded"
        )
    return ModelFacts(
        class_names=list(class_names),
        network=network.config,
        preprocessing=_describe_preprocessing(preprocessing),
        data=fingerprint(datalists) if datalists else {},
        software=_software(),
    )


def _describe_preprocessing(preprocessing: Compose) -> list[dict[str, Any]]:
    return [_describe_transform(t) for t in preprocessing.transforms if not isinstance(t, LoadImaged)]


def _describe_transform(transform: Any) -> dict[str, Any]:
    if isinstance(transform, Recorded):
        return transform.config
    raise FetalMonaiError(
        f"the preprocessing transform {type(transform).__name__} cannot be recorded in a model folder; use those of "
        "fetal_monai.transforms, or derive a class of your own from fetal_monai.utils.serialization.Recorded as well"
    )


def fingerprint(datalists: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Summarise labelled data without naming anyone: counts, and a SHA-256 over images, splits and labels.

    Args:
        datalists: items by split.

    Returns:
        `sha256` and, for each split, `images`, `patients` and `classes` (images per class).

    Example:
        >>> item = {"SOPInstanceUID": "1.2", "frame": -1, "class": "Femur", "patient_id": "A"}
        >>> fingerprint({"train": [item]})["train"]
        {'images': 1, 'patients': 1, 'classes': {'Femur': 1}}
    """
    facts: dict[str, Any] = {}
    lines: list[str] = []
    for split, items in datalists.items():
        classes: dict[str, int] = {}
        for item in items:
            classes[item["class"]] = classes.get(item["class"], 0) + 1
            lines.append(f"{item['SOPInstanceUID']},{item['frame']},{split},{item['class']}")
        patients = {item["patient_id"] for item in items if item["patient_id"]}
        facts[split] = {"images": len(items), "patients": len(patients) or None, "classes": classes}
    facts["sha256"] = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return facts


def write_facts(folder: str | PathLike[str], facts: ModelFacts, selected: Mapping[str, Any] | None = None) -> Path:
    """Write `model.json` into a model folder.

    Args:
        folder: the model folder.
        facts: of the model.
        selected: epoch and validation metric of the weights beside it.

    Returns:
        The file's path.
    """
    path = Path(folder, FACTS_FILE)
    content = {"format": FORMAT, "notice": NOTICE, **asdict(facts), "selected": dict(selected or {})}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_facts(folder: str | PathLike[str]) -> ModelFacts:
    """Read `model.json` of a model folder.

    Args:
        folder: the model folder.

    Returns:
        The facts.

    Raises:
        InputError: if the file is missing, is not such a file, or was written by a newer version.
    """
    path = Path(folder, FACTS_FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise InputError(path, [f"format {content['format']} is newer than this version; update fetal_monai"])
        return ModelFacts(**{name: content[name] for name in ModelFacts.__dataclass_fields__ if name in content})
    except OSError:
        problem = "there is no such file; a model folder holds model.pt and model.json as training writes them"
        raise InputError(path, [problem]) from None
    except (ValueError, KeyError, TypeError) as error:  # a missing fact is a TypeError
        problem = f"not a description of a model ({error!r}); train again or restore the file"
        raise InputError(path, [problem]) from None


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


def _software() -> dict[str, Any]:
    versions = {"fetal_monai": fetal_monai.__version__}
    for package in _VERSIONS_OF:
        versions[package] = importlib.metadata.version(package)
    return {"versions": versions, "revision": _git_revision()}


def _git_revision() -> str | None:
    """Return the commit of a source checkout, with `+` if files were changed; None for an installed package."""
    root = Path(fetal_monai.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None


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
        preprocessing: the transforms of the config; they must be the model's, too, for the network to see what it was
            trained on and what `Predictor` will show it. None leaves them unchecked.

    Returns:
        The network itself, so that a configuration can continue with it.

    Raises:
        InputError: if the folder is incomplete, its classes or transforms are others, or its weights do not fit.
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
        problems = _differences(trained, _describe_preprocessing(preprocessing))
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
