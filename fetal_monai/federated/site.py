"""What a site runs: MONAI's `MonaiAlgo` on the bundle, behind NVFlare's client API.

The configurations are those of the installed package: the server names them, but sends none. What goes back is weights,
three numbers of the validation and how many steps were made.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.bundle import bundle_root

DATA, OUT = "FETAL_MONAI_DATA", "FETAL_MONAI_OUT"
OVERLAY = "configs/federated.yaml"


def make_site(
    configs: Sequence[str],
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    filters: Sequence[str] = (),
    local_epochs: int = 1,
    options: Mapping[str, Any] | None = None,
    name: str = "site",
) -> Any:
    """Build and initialise MONAI's `MonaiAlgo` on this package's bundle.

    Args:
        configs: files of the training after train.yaml, below `bundle/configs` or absolute: network, recipe, classes.
        data: the site's folder with images and annotations.csv.
        out: gets `model`, the model folder of the weights that were evaluated last.
        filters: of what comes and goes, likewise named: federated_local_norms.yaml.
        local_epochs: of each round.
        options: keys of the configuration, as on the command line.
        name: of the site, for its log.

    Returns:
        The `MonaiAlgo`: `train`, `get_weights`, `evaluate`, `finalize`. It sends whole weights.

    Raises:
        FetalMonaiError: if something in the data or the configuration is wrong.
    """
    from monai.fl.client import MonaiAlgo  # noqa: PLC0415
    from monai.fl.utils.constants import ExtraItems  # noqa: PLC0415

    from fetal_monai.console import prepare_console  # noqa: PLC0415

    prepare_console()
    root = bundle_root().resolve()
    files = ["configs/train.yaml", *(_below(config) for config in configs), OVERLAY]
    out = Path(out).resolve()
    settings = {
        **(options or {}),
        "compile": False,  # MonaiAlgo would find the compiled network, whose weights have other names
        "dataset_dir": str(Path(data).resolve()),
        "ckpt_dir": str(out / "model"),
        "output_dir": str(out / "eval"),
    }
    algo = MonaiAlgo(
        bundle_root=str(root),
        local_epochs=local_epochs,
        send_weight_diff=False,
        config_train_filename=files,
        config_evaluate_filename=files,
        train_kwargs=dict(settings),
        eval_kwargs=dict(settings),
        config_filters_filename=[_below(one) for one in filters] or None,
    )
    algo.initialize({ExtraItems.CLIENT_NAME: name})
    return algo


def answer(algo: Any, weights: Mapping[str, Any], *, train: bool) -> tuple[dict[str, Any], dict[str, float], int]:
    """Evaluate the weights of a round, train on from them, and give what may leave the site.

    Args:
        algo: of `make_site`.
        weights: of the server, by name.
        train: False gives the weights back as they came: the last round, which only evaluates.

    Returns:
        The weights of the site, tensors by name; its metrics; how many steps it made, 1 without training.
    """
    import torch  # noqa: PLC0415
    from monai.fl.utils.constants import FlStatistics, WeightType  # noqa: PLC0415
    from monai.fl.utils.exchange_object import ExchangeObject  # noqa: PLC0415

    received = ExchangeObject(weights=dict(weights), weight_type=WeightType.WEIGHTS)
    metrics = {name: float(value) for name, value in algo.evaluate(received).metrics.items()}
    if not train:
        return dict(weights), metrics, 1
    algo.train(received)
    trained = algo.get_weights()
    # A copy, since the next round trains in place; contiguous, since NVFlare carries no other tensors.
    sent = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in trained.weights.items()
    }
    return sent, metrics, int(trained.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS])


def pack(settings: Mapping[str, Any]) -> str:
    """Write settings as one word, for the command line of a site.

    NVFlare splits arguments at blanks, quoted or not, and fills in what stands in braces; so both are escaped.

    Args:
        settings: arguments of `make_site` by name, plain values.

    Returns:
        JSON, with everything escaped that a URL would escape.

    Example:
        >>> pack({"filters": []})
        '%7B%22filters%22:%20%5B%5D%7D'
        >>> unpack(pack({"options": {"class_names": ["Head (PPP, Tectum)"]}}))
        {'options': {'class_names': ['Head (PPP, Tectum)']}}
    """
    return quote(json.dumps(settings), safe="/:,")


def unpack(word: str) -> dict[str, Any]:
    """Read what `pack` wrote.

    Args:
        word: of the command line.

    Returns:
        The settings.
    """
    settings: dict[str, Any] = json.loads(unquote(word))
    return settings


def _below(config: str) -> str:
    return config if Path(config).is_absolute() else f"configs/{config}"


def _place(given: str | None, variable: str) -> str:
    place = given or os.environ.get(variable)
    if not place:
        raise FetalMonaiError(f"this site has not said where its files are; set the environment variable {variable}")
    return place


def main() -> None:
    """Take part in the job that started this script, until the server ends it."""
    import nvflare.client as flare  # noqa: PLC0415
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType  # noqa: PLC0415
    from nvflare.client.constants import FLMetaKey  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="One site of a federated training.")
    parser.add_argument("settings", type=unpack, help="What `pack` gave.")
    given = parser.parse_args().settings
    flare.init()
    data, out = (_place(given.pop(key, None), variable) for key, variable in (("data", DATA), ("out", OUT)))
    algo = make_site(given.pop("configs"), data, out, name=flare.get_site_name(), **given)
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        last = received.current_round is not None and received.current_round + 1 == received.total_rounds
        weights, metrics, steps = answer(algo, received.params, train=not last)
        meta = {FLMetaKey.NUM_STEPS_CURRENT_ROUND: steps}
        flare.send(FLModel(params_type=ParamsType.FULL, params=weights, metrics=metrics, meta=meta))
    algo.finalize()


if __name__ == "__main__":
    main()
