"""From a checkpoint of the reference to a model folder: the weights, and the facts that the configuration states."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from fetal_monai.errors import InputError
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import FACTS_FILE, write_facts
from fetal_monai.model.folder import save_weights
from fetal_monai.networks.reference import load_reference_checkpoint
from fetal_monai.utils.bundle import bundle_root


def import_checkpoint(
    checkpoint: str | PathLike[str],
    network: str,
    out: str | PathLike[str],
    *,
    bundle: str | PathLike[str] | None = None,
    overlays: Sequence[str | PathLike[str]] = (),
    overwrite: bool = False,
) -> list[str]:
    """Convert a checkpoint of the reference and write it with its `model.json`.

    Args:
        checkpoint: the file; only tensors are read from it.
        network: the name of an overlay in the bundle's `configs/networks`, or the path of one.
        out: the state dict to write; `model.json` lands in its folder.
        bundle: the bundle's folder; None takes the one that comes with the package.
        overlays: more configuration files, such as one with other classes or another preprocessing.
        overwrite: replace files that are there.

    Returns:
        The names of the classes, in the order of the logits.

    Raises:
        InputError: if the network is unknown, the checkpoint does not fit it, or a file is in the way.
    """
    out = Path(out)
    if existing := [path for path in (out, out.with_name(FACTS_FILE)) if path.exists() and not overwrite]:
        raise InputError(existing[0], ["it is there already; choose another --out, or add --overwrite"])
    configs = _configs(bundle_root() if bundle is None else Path(bundle))
    parser = ConfigParser()
    parser.read_config([configs / "train.yaml", _overlay(configs, network), *map(Path, overlays)])
    model: Any = load_reference_checkpoint(parser.get_parsed_content("network_def"), checkpoint)
    names: list[str] = parser.get_parsed_content("class_names")
    facts = describe_model(model, parser.get_parsed_content("validate#preprocessing"), names)
    save_weights(model, out)
    write_facts(out.parent, facts, {"imported_from": Path(checkpoint).name})
    return names


def _configs(bundle: Path) -> Path:
    if (bundle / "configs" / "train.yaml").is_file():
        return bundle / "configs"
    raise InputError(bundle, ["there is no configs/train.yaml in it; give the bundle's folder with --bundle"])


def _overlay(configs: Path, network: str) -> Path:
    path = Path(network) if network.endswith((".yaml", ".yml", ".json")) else configs / "networks" / f"{network}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (configs / "networks").glob("*.yaml")))
        raise InputError(path, [f"there is no such network; known are {known}"])
    return path
