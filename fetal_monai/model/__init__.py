"""A trained model on disk: its folder, the records in it, and the model that comes with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetal_monai.model.facts import ModelFacts, read_facts, write_facts
from fetal_monai.utils.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from fetal_monai.model.description import describe_model
    from fetal_monai.model.folder import load_model, load_preprocessing, load_weights
    from fetal_monai.model.learnt import require_unseen

__all__ = [
    "ModelFacts",
    "describe_model",
    "load_model",
    "load_preprocessing",
    "load_weights",
    "read_facts",
    "require_unseen",
    "write_facts",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "describe_model": "fetal_monai.model.description:describe_model",
        "load_model": "fetal_monai.model.folder:load_model",
        "load_preprocessing": "fetal_monai.model.folder:load_preprocessing",
        "load_weights": "fetal_monai.model.folder:load_weights",
        "require_unseen": "fetal_monai.model.learnt:require_unseen",
    },
)
