"""ImageNet weights from files: where they lie, what they must be, how they are fetched."""

import hashlib
import re

import pytest
import torch
import typer.testing
from torch import nn

from fetal_monai.cli import app
from fetal_monai.errors import InputError
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    ResNetBackbone,
    SingleBranchClassifier,
    load_imagenet,
)
from fetal_monai.networks.imagenet import PUBLISHED, fetch
from published_networks import published_layout

CLI = typer.testing.CliRunner()


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty weights folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.hub.set_dir(tmp_path)
    yield tmp_path / "checkpoints"
    torch.hub._hub_dir = None


def test_imagenet_into_both_branches_from_files(tmp_path, randomise):
    shallow, detailed = randomise(ResNetBackbone(18)), randomise(DenseNetBackbone(121), seed=1)
    files = {"backbone_shallow": tmp_path / "resnet.pth", "backbone_detailed": tmp_path / "densenet.pth"}
    for backbone, path in zip((shallow, detailed), files.values(), strict=True):
        torch.save(published_layout(backbone), path)
    network = DualBranchClassifier(4, ResNetBackbone(18), DenseNetBackbone(121))
    head = network.head.weight.clone()
    assert load_imagenet(network, files=files) is network
    torch.testing.assert_close(network.backbone_shallow.state_dict(), shallow.state_dict())
    torch.testing.assert_close(network.backbone_detailed.state_dict(), detailed.state_dict())
    assert torch.equal(network.head.weight, head)
    with pytest.raises(
        InputError, match="no backbone 'backbone_coarse'; there are backbone_shallow, backbone_detailed"
    ):
        load_imagenet(network, files={"backbone_coarse": "a.pth"})
    with pytest.raises(InputError, match=r"densenet.pth: \d problems\n  \d+ missing: conv1.weight, bn1.weight"):
        load_imagenet(network, files={"backbone_shallow": files["backbone_detailed"]})


def test_missing_file_says_which_and_where(offline):
    with pytest.raises(InputError) as error:
        load_imagenet(SingleBranchClassifier(4, ResNetBackbone(18)))
    assert str(offline / "resnet18-f37072fd.pth") in str(error.value)
    assert "fetch https://download.pytorch.org/models/resnet18-f37072fd.pth and put it there" in str(error.value)
    assert "fetal-monai fetch-weights resnet18" in str(error.value)
    own = nn.Sequential(nn.Conv2d(3, 4, 1))
    own.out_channels = 4
    with pytest.raises(InputError, match=r"none are known for Sequential; name a file for it: files=\{'backbone': "):
        load_imagenet(SingleBranchClassifier(4, own))


def test_damaged_file_is_refused(offline):
    offline.mkdir()
    (offline / "resnet18-f37072fd.pth").write_bytes(b"half a download")
    with pytest.raises(InputError, match=r"SHA-256 begins \w{8} instead of f37072fd; delete it and fetch it again"):
        load_imagenet(SingleBranchClassifier(4, ResNetBackbone(18)))


def test_every_known_architecture_has_a_checksum():
    assert set(PUBLISHED) >= {f"efficientnet-b{size}" for size in range(8)} | {"resnet18", "densenet201"}
    for weights in PUBLISHED.values():
        assert re.fullmatch(r"[0-9a-f]{8}", weights.sha256_prefix)


def test_fetch_checks_and_explains(tmp_path):
    source = tmp_path / "there" / "w.pth"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert fetch(source.as_uri(), digest, tmp_path / "here").read_bytes() == b"weights"
    with pytest.raises(InputError, match="instead of 00000000"):
        fetch(source.as_uri(), "0" * 64, tmp_path / "here")
    absent = source.with_name("absent.pth").as_uri()
    with pytest.raises(InputError, match="fetch it on a machine with a network and put it there") as error:
        fetch(absent, digest, tmp_path / "here")
    assert str(tmp_path / "here" / "absent.pth") in str(error.value)
    assert not (tmp_path / "here" / "absent.pth").exists()
    result = CLI.invoke(app, ["fetch-weights", "resnet19"])
    assert result.exit_code == 1
    assert "known are densenet121" in result.output
