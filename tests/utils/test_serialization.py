"""Records: complete, plain, and unable to run foreign code."""

from __future__ import annotations

import json

import pytest

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks import DualBranchClassifier, ResNetBackbone
from fetal_monai.transforms import ResizeFramed
from fetal_monai.utils.serialization import Recorded, rebuild


def test_a_record_holds_every_argument_defaults_included():
    config = ResizeFramed("image", (4, 6)).config
    assert config == {
        "_target_": "fetal_monai.transforms.resize.ResizeFramed",
        "keys": "image",
        "size": [4, 6],
        "only_shrink": False,
        "antialias": True,
        "allow_missing_keys": False,
    }


def test_nested_objects_survive_json():
    network = DualBranchClassifier(5, ResNetBackbone(18), ResNetBackbone(34), shallow_size=(32, 48))
    again = rebuild(json.loads(json.dumps(network.config)))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in again.state_dict().items()} == shapes
    assert again.config == network.config


def test_a_subclass_records_its_own_arguments():
    class Square(ResizeFramed):
        def __init__(self, side: int) -> None:
            super().__init__("image", (side, side))

    assert {name: value for name, value in Square(3).config.items() if name != "_target_"} == {"side": 3}


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "fetal_monai.model.description.subprocess.run",
        "fetal_monai.utils.serialization.importlib.import_module",
        "fetal_monai.utils.serialization.rebuild",
        "fetal_monai.nowhere.Nothing",
        "fetal_monai_evil.Thing",
        "torch.nn.Linear",
        None,
        7,
    ],
)
def test_only_recorded_classes_of_this_package_are_built(target):
    with pytest.raises(FetalMonaiError, match="no recorded class"):
        rebuild({"_target_": target, "args": "echo harm"})


def test_foreign_code_is_refused_inside_a_record_too():
    config = DualBranchClassifier(5, ResNetBackbone(18), ResNetBackbone(18)).config
    config["shallow"] = {"_target_": "os.system", "command": "echo harm"}
    with pytest.raises(FetalMonaiError, match=r"os\.system"):
        rebuild(config)


def test_what_cannot_be_recorded_says_so():
    class Holder(Recorded):
        def __init__(self, thing: object) -> None:
            self.thing = thing

    with pytest.raises(FetalMonaiError, match="argument 'thing' is a object"):
        _ = Holder(object()).config
