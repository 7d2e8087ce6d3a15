"""Overlays of networks and recipes go together in any order, or say that they do not."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from fetal_monai.errors import FetalMonaiError, find_user_error
from fetal_monai.networks import EfficientNetBackbone, check_options

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
NETWORKS = sorted(path.stem for path in (CONFIGS / "networks").glob("*.yaml"))
BRANCHES = {name: yaml.safe_load((CONFIGS / f"networks/{name}.yaml").read_text())["network_def"] for name in NETWORKS}
DUAL = [name for name in NETWORKS if "Dual" in BRANCHES[name]["_target_"]]


def build(*overlays: str) -> torch.nn.Module:
    parser = ConfigParser()
    parser.read_config([CONFIGS / "train.yaml", *(CONFIGS / f"{name}.yaml" for name in overlays)])
    with torch.device("meta"):
        return parser.get_parsed_content("network_def")


def trainable(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_backbones_train_the_head_alone_in_any_order(name):
    networks = [build(*order) for order in permutations([f"networks/{name}", "recipes/frozen_backbones"])]
    head = networks[0].head.weight.numel() + 16
    gate = int(bool(BRANCHES[name].get("gate")))
    assert [trainable(network) for network in networks] == 2 * [head + gate]
    assert trainable(build(f"networks/{name}")) > 100 * head


@pytest.mark.parametrize("name", DUAL)
def test_auxiliary_heads_are_there_in_any_order(name):
    networks = [build(*order) for order in permutations([f"networks/{name}", "recipes/auxiliary_heads"])]
    for network in networks:
        heads = network.auxiliary_shallow, network.auxiliary_detailed
        assert [head.in_features for head in heads] == [b.out_channels for b in network._backbones()]
        assert trainable(network) == trainable(build(f"networks/{name}")) + sum(map(trainable, heads))


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_reaches_every_network(name, tmp_path):
    (tmp_path / "dropout.yaml").write_text("dropout: 0.25\n")
    parser = ConfigParser()
    parser.read_config([CONFIGS / "train.yaml", tmp_path / "dropout.yaml", CONFIGS / f"networks/{name}.yaml"])
    with torch.device("meta"):
        assert parser.get_parsed_content("network_def").dropout.p == 0.25


@pytest.mark.parametrize("name", NETWORKS)
def test_flips_and_frozen_norm_stages_reach_every_network_that_has_them(name, tmp_path):
    (tmp_path / "recipe.yaml").write_text("average_flips: 0.75\nfrozen_norm_stages: 2\n")
    parser = ConfigParser()
    parser.read_config([CONFIGS / "train.yaml", tmp_path / "recipe.yaml", CONFIGS / f"networks/{name}.yaml"])
    with torch.device("meta"):
        network = parser.get_parsed_content("network_def")
    check_options(network, average_flips=0.75)
    efficient = [branch for branch in network._backbones() if isinstance(branch, EfficientNetBackbone)]
    for branch in efficient:
        assert not branch.train()._bn0.training
    if efficient:
        check_options(network, frozen_norm_stages=2)
    else:
        with pytest.raises(
            FetalMonaiError, match=r"frozen_norm_stages is 2 \(recipes/best.yaml\), but \w+ has no such"
        ):
            check_options(network, frozen_norm_stages=2)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("networks/resnet18.yaml", "SingleBranchClassifier has no such option; leave it out, or choose another"),
        (None, "DualBranchClassifier was built with False; leave it out, or write auxiliary_heads: "),
    ],
)
def test_a_recipe_that_does_not_reach_the_network_ends_the_training(start, tmp_path, network, said):
    options = {} if network else {"network_def#auxiliary_heads": False}
    overlays = ["recipes/auxiliary_heads.yaml", *([network] if network else [])]
    flow = start(tmp_path, *overlays, **options)
    with pytest.raises(RuntimeError) as caught:
        flow.run()
    found = find_user_error(caught.value)
    assert type(found) is FetalMonaiError
    assert str(found).startswith(f"auxiliary_heads is True (recipes/auxiliary_heads.yaml), but {said}")
    assert not list(tmp_path.iterdir())
