"""Collecting the facts of a model that is about to be trained: network, preprocessing, data, software."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import Compose, LoadImaged

import fetal_monai
from fetal_monai.data.soft_labels import SOFT_LABEL
from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.facts import ModelFacts
from fetal_monai.model.learnt import digest_of_images, learnt_splits
from fetal_monai.utils.serialization import Recorded

_VERSIONS_OF = ("monai", "torch", "pytorch-ignite", "numpy", "pydicom", "opencv-python-headless", "simplejpeg")


def describe_model(
    network: Recorded,
    preprocessing: Compose,
    class_names: Sequence[str],
    datalists: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    trained_on: Sequence[Mapping[str, Any]] | None = None,
) -> ModelFacts:
    """Collect the facts of a model that is about to be trained.

    Args:
        network: the network; its class and its backbones' derive from `Recorded`.
        preprocessing: the deterministic transforms of validation; after `LoadImaged` each derives from `Recorded`.
        class_names: in the order of the logits.
        datalists: train, val and test items with `SOPInstanceUID`, `frame`, `class` and `patient_id`.
        trained_on: the items that the weights learn from; with them the facts name the splits that are learnt.

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
    data = fingerprint(datalists) if datalists else {}
    if datalists and trained_on is not None:
        data["learnt"] = learnt_splits(datalists, trained_on)
    return ModelFacts(
        class_names=list(class_names),
        network=network.config,
        preprocessing=describe_preprocessing(preprocessing),
        data=data,
        software=_software(),
    )


def describe_preprocessing(preprocessing: Compose) -> list[dict[str, Any]]:
    """Record the transforms between the decoded frame and the network's views.

    Args:
        preprocessing: after `LoadImaged` each transform derives from `Recorded`.

    Returns:
        Their records, in order.

    Raises:
        FetalMonaiError: if a transform cannot be rebuilt from a record.
    """
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
        `sha256` and, for each split, `images`, `patients`, `classes` (images per class) and `images_sha256`, over the
        images alone.

    Example:
        >>> item = {"SOPInstanceUID": "1.2", "frame": -1, "class": "Femur", "patient_id": "A"}
        >>> fingerprint({"train": [item]})["train"]
        {'images': 1, 'patients': 1, 'classes': {'Femur': 1}, \
'images_sha256': 'bc6724f403f3dd280bbb4058a82db0ca682a84abda7506c4d0cc16c17bb5c0d9'}
    """
    facts: dict[str, Any] = {}
    lines: list[str] = []
    for split, items in datalists.items():
        classes: dict[str, int] = {}
        for item in items:
            classes[item["class"]] = classes.get(item["class"], 0) + 1
            soft = "".join(f",{share:.6g}" for share in item.get(SOFT_LABEL, ()))
            lines.append(f"{item['SOPInstanceUID']},{item['frame']},{split},{item['class']}{soft}")
        patients = {item["patient_id"] for item in items if item["patient_id"]}
        facts[split] = {
            "images": len(items),
            "patients": len(patients) or None,
            "classes": classes,
            "images_sha256": digest_of_images(items),
        }
    facts["sha256"] = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return facts


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
