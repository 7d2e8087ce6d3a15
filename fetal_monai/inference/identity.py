"""Which model a folder holds, as predictions and exported files name it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import fetal_monai
from fetal_monai.inference.prediction import ModelIdentity
from fetal_monai.model.facts import ModelFacts


def model_identity(facts: ModelFacts, weights: Path) -> ModelIdentity:
    """Name a model by its facts and the digest of its weights: a released one by its release, others by their network.

    Args:
        facts: of the model folder.
        weights: its `model.pt`.

    Returns:
        The identity, of PyTorch's eager network: another engine puts its own name in.
    """
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    trained_by = facts.software.get("versions", {}).get("fetal_monai", "unknown")
    network = str(facts.network["_target_"]).rpartition(".")[2]
    records = json.dumps(facts.preprocessing, sort_keys=True, separators=(",", ":"))
    return ModelIdentity(
        name=str(facts.release.get("name", network)),
        version=f"{facts.release.get('version', trained_by)}+{digest[:12]}",
        weights_sha256=digest,
        preprocessing_sha256=hashlib.sha256(records.encode()).hexdigest(),
        fetal_monai_version=fetal_monai.__version__,
    )
