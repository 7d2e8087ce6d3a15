"""Which images a model has learnt from: what it says of them tells nothing of what it would say of others."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from fetal_monai.errors import InputError
from fetal_monai.model.facts import ModelFacts, read_facts

logger = logging.getLogger(__name__)
Items = Sequence[Mapping[str, Any]]


def digest_of_images(items: Items) -> str:
    """Summarise which images these are, whatever their labels and order.

    Args:
        items: with `SOPInstanceUID` and `frame`.

    Returns:
        A SHA-256 in hexadecimal digits.

    Example:
        >>> one, other = {"SOPInstanceUID": "1.2", "frame": -1}, {"SOPInstanceUID": "1.3", "frame": 0}
        >>> digest_of_images([one, other]) == digest_of_images([other, one]) != digest_of_images([one])
        True
    """
    return hashlib.sha256("\n".join(sorted(_names(items))).encode()).hexdigest()


def _names(items: Items) -> set[str]:
    return {f"{item['SOPInstanceUID']},{item['frame']}" for item in items}


def learnt_splits(datalists: Mapping[str, Items], trained_on: Items) -> list[str]:
    """Name the splits all of whose images are trained on.

    Args:
        datalists: items by split.
        trained_on: the items of the training.

    Returns:
        Their names.

    Example:
        >>> item = {"SOPInstanceUID": "1.2", "frame": -1}
        >>> learnt_splits({"train": [item], "test": [], "val": [{**item, "frame": 3}]}, [item])
        ['train']
    """
    known = _names(trained_on)
    return [split for split, items in datalists.items() if items and _names(items) <= known]


def has_learnt(facts: ModelFacts, items: Items) -> bool:
    """Whether a model has learnt from exactly these images, as one of the splits of its training.

    Args:
        facts: of the model; one that does not record what it has learnt from is given the benefit of the doubt.
        items: a split.

    Returns:
        Whether it has.
    """
    digest = digest_of_images(items)
    return any(facts.data[split].get("images_sha256") == digest for split in facts.data.get("learnt", []))


def require_unseen(
    model_dir: str | PathLike[str], datalists: Mapping[str, Items], *, split: str, fit_split: str
) -> None:
    """Before an evaluation: warn if the model has learnt from the images, and fit nothing on what it has learnt.

    Args:
        model_dir: the model folder.
        datalists: items by split.
        split: what is evaluated.
        fit_split: what calibration and thresholds are fitted on.

    Raises:
        InputError: if both are one, or the model has learnt from `fit_split`: it is sure of these images, and
            thresholds that are fitted on them would be useless.
    """
    if split == fit_split:
        problem = (
            f"the images of '{split}' cannot be both evaluated and what calibration and thresholds are fitted on; add "
            "--fit_split with the name of another split, or evaluate another"
        )
        raise InputError("the configuration", [problem])
    facts = read_facts(model_dir)
    if has_learnt(facts, datalists[fit_split]):
        problem = (
            f"the model has learnt from the images of '{fit_split}', on which calibration and thresholds would be "
            "fitted; evaluate it on images that it has not seen"
        )
        raise InputError(model_dir, [problem])
    if has_learnt(facts, datalists[split]):
        logger.warning("the model has learnt from the images of '%s': its figures say nothing of other images", split)
