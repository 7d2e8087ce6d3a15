"""The reference's checkpoints in all their layouts, and a short report where they do not fit."""

import pytest
import torch

from fetal_monai.errors import InputError
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    ResNetBackbone,
    SingleBranchClassifier,
    load_reference_checkpoint,
)
from published_networks import published_layout


def test_reference_checkpoints_of_the_other_networks(tmp_path, randomise):
    """Backbones in torchvision's layout; a gate written as a vector; single-branch networks with and without prefix."""
    shallow, detailed = randomise(ResNetBackbone(18)), randomise(DenseNetBackbone(121), seed=1)
    weights = {f"backbone_shallow.{key}": value for key, value in published_layout(shallow).items()}
    weights |= {f"backbone_detailed.{key}": value for key, value in published_layout(detailed).items()}
    weights |= {"head.weight": torch.rand(16, 1536), "head.bias": torch.rand(16), "alpha": torch.tensor([0.7])}
    torch.save(weights, tmp_path / "gated.pth")
    network = DualBranchClassifier(16, ResNetBackbone(18), DenseNetBackbone(121), gate=True)
    load_reference_checkpoint(network, tmp_path / "gated.pth")
    assert network.alpha.item() == pytest.approx(0.7)
    torch.testing.assert_close(network.backbone_detailed.state_dict(), detailed.state_dict())

    head = {"weight": torch.rand(16, 512), "bias": torch.rand(16)}
    bare = shallow.state_dict() | {f"fc.{key}": value for key, value in head.items()}
    prefixed = {f"backbone.{key}": value for key, value in published_layout(shallow).items()}
    prefixed |= {f"head.{key}": value for key, value in head.items()}
    for weights in (bare, prefixed, {"state_dict": {f"module.{key}": value for key, value in prefixed.items()}}):
        torch.save(weights, tmp_path / "single.pth")
        single = SingleBranchClassifier(16, ResNetBackbone(18))
        load_reference_checkpoint(single, tmp_path / "single.pth")
        torch.testing.assert_close(single.backbone.state_dict(), shallow.state_dict())
        assert torch.equal(single.head.weight, head["weight"])
        load_reference_checkpoint(single, _saved(single.state_dict(), tmp_path / "ours.pt"))


def _saved(weights, path):
    torch.save(weights, path)
    return path


def test_mismatch_report_is_short(tmp_path):
    path = _saved(DualBranchClassifier(9, ResNetBackbone(18), ResNetBackbone(34)).state_dict(), tmp_path / "best.pth")
    with pytest.raises(InputError) as error:
        load_reference_checkpoint(DualBranchClassifier(16, ResNetBackbone(18), ResNetBackbone(34)), path)
    assert str(error.value).splitlines()[1:] == [
        "  2 of another shape: head.weight (9, 1024) instead of (16, 1024), head.bias (9,) instead of (16,)"
    ]
    network = DualBranchClassifier(16, ResNetBackbone(34), DenseNetBackbone(121))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_reference_checkpoint(network, path)
    assert len(str(error.value)) < 1500
    assert len(str(error.value).splitlines()) == 4
    torch.testing.assert_close(network.state_dict(), before)  # nothing was loaded
