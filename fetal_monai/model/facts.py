"""The facts of a model besides its weights: `model.json`. Importing this module needs neither torch nor MONAI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_path

FACTS_FILE = "model.json"
FORMAT = 1
NOTICE = "Research software. Not a medical device: not for diagnosis, treatment or triage."


@dataclass(frozen=True)
class ModelFacts:
    """What must be known of a model besides its weights.

    Args:
        class_names: in the order of the logits.
        network: the record that rebuilds the network (see `fetal_monai.utils.serialization`).
        preprocessing: the records of the transforms between the decoded frame and the network's views, in order.
        data: the fingerprint of the training data: counts per split and class, digests of labels and images, and which
            splits the weights have learnt from.
        software: versions and the revision of the source.
        release: name, version, and sizes and digests of the files; empty but for what `write_release` wrote.
    """

    class_names: list[str]
    network: dict[str, Any]
    preprocessing: list[dict[str, Any]]
    data: dict[str, Any] = field(default_factory=dict)
    software: dict[str, Any] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)


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
