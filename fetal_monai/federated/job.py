"""The job: the start that all sites share, NVFlare's federated averaging over them, the model folder at its end.

`python -m fetal_monai.federated.job START JOB --sites 3 --rounds 10 --configs networks/lite0.yaml recipes/best.yaml`
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.federated.site import pack
from fetal_monai.model.facts import FACTS_FILE, read_facts
from fetal_monai.model.folder import WEIGHTS_FILE, load_model, save_weights
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict
from fetal_monai.utils.bundle import bundle_root
from fetal_monai.utils.extras import needing


def write_start(
    out: str | PathLike[str], configs: Sequence[str], *, options: Mapping[str, Any] | None = None, seed: int = 42
) -> Path:
    """Write the model folder that a federation starts from: weights of the configuration, and no data.

    Args:
        out: the folder.
        configs: files after train.yaml, below `bundle/configs` or absolute. Their `pretrained` fills the weights.
        options: keys of the configuration.
        seed: of weights that are drawn.

    Returns:
        `out`, with `model.pt` and `model.json`.
    """
    import torch  # noqa: PLC0415
    from monai.bundle import ConfigParser  # noqa: PLC0415

    from fetal_monai.model.description import describe_model  # noqa: PLC0415
    from fetal_monai.model.facts import write_facts  # noqa: PLC0415

    folder = bundle_root() / "configs"
    parser = ConfigParser()
    parser.read_config([str(folder / name) for name in ("train.yaml", *configs)])
    parser.update(pairs=dict(options or {}))
    torch.manual_seed(seed)
    network = parser.get_parsed_content("network_def")
    parser.get_parsed_content("pretrained")
    facts = describe_model(
        network, parser.get_parsed_content("validate#preprocessing"), parser.get_parsed_content("class_names")
    )
    out = Path(out)
    save_weights(network, out / WEIGHTS_FILE)
    write_facts(out, facts)
    return out


def write_global(start: str | PathLike[str], weights: str | PathLike[str], out: str | PathLike[str]) -> Path:
    """Write the model folder of the average over all sites.

    Args:
        start: the folder of `write_start`, for all but the weights.
        weights: the file `FL_global_model.pt` that NVFlare's server leaves.
        out: the folder.

    Returns:
        `out`, which `fetal-monai predict --model` takes.

    Raises:
        InputError: if the weights cannot be read, or are not of the network that `start` describes.
    """
    network, _, _ = load_model(start)
    load_strictly(network, read_state_dict(weights), source=Path(weights))
    out = Path(out)
    save_weights(network, out / WEIGHTS_FILE)
    shutil.copyfile(Path(start, FACTS_FILE), out / FACTS_FILE)
    return out


def federated_averaging(
    start: str | PathLike[str],
    settings: Mapping[str, Any],
    *,
    rounds: int,
    sites: Mapping[str, Mapping[str, Any]] | int,
    name: str = "fetal_monai",
) -> Any:
    """Make NVFlare's recipe of federated averaging: each site's weights count by the steps that it made.

    Args:
        start: the folder of `write_start`. The server needs it under the same path.
        settings: what all sites do alike: arguments of `make_site` by name, plain values.
        rounds: of training; one more only evaluates the last average.
        sites: further arguments of each site, by its name: `data` and `out`, as a simulation needs. Or how many sites
            there must be, which then say themselves where their files are.
        name: of the job.

    Returns:
        The recipe: `execute(SimEnv(...))` simulates it, `export(folder)` writes the job.

    Raises:
        FetalMonaiError: if NVFlare is missing.
    """
    with needing("federated", "a job needs nvflare"):
        from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe  # noqa: PLC0415
        from nvflare.client.config import ExchangeFormat  # noqa: PLC0415
        from nvflare.recipe.utils import set_per_site_config  # noqa: PLC0415
    start = Path(start).resolve()
    network = {"class_path": "fetal_monai.utils.serialization.rebuild", "args": {"config": read_facts(start).network}}
    recipe = FedAvgRecipe(
        name=name,
        model=network,
        initial_ckpt=str(start / WEIGHTS_FILE),
        min_clients=sites if isinstance(sites, int) else len(sites),
        num_rounds=rounds + 1,
        train_script=str(Path(__file__).with_name("nvflare_script.py")),
        train_args=pack(settings),
        server_expected_format=ExchangeFormat.PYTORCH,
        key_metric="log_likelihood",
    )
    if not isinstance(sites, int):
        set_per_site_config(recipe, {site: {"train_args": pack({**settings, **more})} for site, more in sites.items()})
    return recipe


def main() -> None:
    """Write the start and NVFlare's job folder."""
    parser = argparse.ArgumentParser(description="Write the start of a federated training and NVFlare's job folder.")
    parser.add_argument("start", type=Path, help="The model folder to start from; written unless it is there.")
    parser.add_argument("job", type=Path, help="The folder that the job goes into.")
    parser.add_argument("--configs", nargs="+", required=True, help="Files after train.yaml, below bundle/configs.")
    parser.add_argument("--filters", nargs="*", default=[], help="federated_local_norms.yaml, or none.")
    parser.add_argument("--options", type=json.loads, default={}, help="Keys of the configuration, in JSON.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--local-epochs", type=int, default=1)
    parser.add_argument("--sites", type=int, default=2, help="How many must take part in each round.")
    given = parser.parse_args()
    if not (given.start / FACTS_FILE).exists():
        write_start(given.start, given.configs, options=given.options)
    settings = {name: getattr(given, name) for name in ("configs", "filters", "options", "local_epochs")}
    federated_averaging(given.start, settings, rounds=given.rounds, sites=given.sites).export(str(given.job))
    print(f"wrote {given.job}")  # noqa: T201


if __name__ == "__main__":
    main()
