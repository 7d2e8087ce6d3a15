"""The bundle's networks: sizes, parameters, exports, and what can be switched on and off."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DeepSupervisionLoss
from monai.optimizers import generate_param_groups
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    EfficientNetBackbone,
    MonaiBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
)
from fetal_monai.networks.efficientnet import SamePadding
from fetal_monai.utils.serialization import rebuild

# Parameters of each backbone without classifier: published counts less 1000 x (features + 1).
B0, B6, B7 = 5_288_548 - 1_281_000, 43_040_704 - 2_305_000, 66_347_960 - 2_561_000
RESNET18, RESNET34 = 11_689_512 - 513_000, 21_797_672 - 513_000
DENSENET201 = 20_013_928 - 1_921_000
LITE0 = 4_652_008 - 1_281_000
NETWORKS = {  # parameters of the backbones, features, (H, W) of the views
    "effnet_b0_b6": (B0 + B6, 1280 + 2304, (528, 528), (224, 224)),
    "resnet18_resnet34": (RESNET18 + RESNET34, 1024, (570, 761), (281, 374)),
    "resnet34_effnet_b6": (RESNET34 + B6, 512 + 2304, (528, 528), (256, 256)),
    "resnet18_densenet201": (RESNET18 + DENSENET201, 512 + 1920, (460, 613), (281, 374)),
    "resnet18_densenet201_gated": (RESNET18 + DENSENET201 + 1, 512 + 1920, (460, 613), (281, 374)),
    "resnet18": (RESNET18, 512, (281, 374), None),
    "effnet_b7": (B7, 2560, (600, 600), None),
    "lite0_lite0": (2 * LITE0, 2560, (160, 160), (96, 96)),
    "lite0": (LITE0, 1280, (160, 240), None),
}
FAST = {"resnet18_resnet34", "resnet18", "lite0_lite0", "lite0"}  # and test_weights.py has the default network


def every_network(fast):
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.slow]) for name in NETWORKS]


def views(name, batch=1):
    _, _, detailed, shallow = NETWORKS[name]
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, *detailed, generator=generator) * 2 - 1
    return (image,) if shallow is None else (image, torch.rand(batch, 3, *shallow, generator=generator) * 2 - 1)


def small(**options):
    network = DualBranchClassifier(
        5, EfficientNetBackbone("lite0"), ResNetBackbone(18), **({"shallow_size": (64, 96)} | options)
    )
    return network, torch.rand(2, 3, 96, 128) * 2 - 1


def test_every_overlay_is_in_the_table():
    folder = Path(__file__).parents[2] / "bundle" / "configs" / "networks"
    assert {path.stem for path in folder.glob("*.yaml")} == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_views(name, overlay):
    parser = overlay(name)
    with torch.device("meta"):
        network = parser.get_parsed_content("network_def")
    backbones, features, detailed, shallow = NETWORKS[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == backbones + 16 * (features + 1)
    assert parser.get_parsed_content("detailed_size") == list(detailed)
    assert parser.get_parsed_content("shallow_size") == (list(shallow) if shallow else None)


def test_default_has_44_8_million_parameters():
    backbones, features, *_ = NETWORKS["effnet_b0_b6"]
    assert (backbones + 16 * (features + 1)) / 1e6 == pytest.approx(44.8, abs=0.05)


@pytest.mark.parametrize("name", every_network(FAST))
def test_forward_at_native_views(name, overlay, randomise):
    network = randomise(overlay(name).get_parsed_content("network_def"))
    seen = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = network(*views(name))
    assert logits.shape == (1, 16)
    assert seen[0].shape == (1, NETWORKS[name][1])
    assert logits.std() > 1e-3
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", every_network({"lite0_lite0"}))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_export_parity(name, overlay, randomise, tmp_path):
    """TorchScript as `ckpt_export` makes it, and ONNX in ONNX Runtime, agree with the network on one view."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network = randomise(overlay(name).get_parsed_content("network_def"))
    image = views(name, batch=2)[0]
    with torch.inference_mode():
        expected = network(image)
        scripted = torch.jit.script(network)
        scripted.save(tmp_path / "model.ts")
        again = torch.jit.load(tmp_path / "model.ts")
        torch.testing.assert_close(again(image), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again.forward_features(image), network.forward_features(image), rtol=1e-4, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = {"image": {0: torch.export.Dim("batch")}}
        torch.onnx.export(network, (image,), tmp_path / "model.onnx", dynamic_shapes=shapes, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2):
        (logits,) = session.run(None, {session.get_inputs()[0].name: image[:count].numpy()})
        tolerance = 1e-4 * expected.abs().max().item()
        np.testing.assert_allclose(logits, expected[:count].numpy(), rtol=1e-3, atol=tolerance)


def test_shallow_view_is_derived_with_antialiasing(randomise):
    network, image = small()
    randomise(network)
    stripes = torch.ones(1, 3, 256, 256)
    stripes[..., ::2] = -1  # finer than the shallow view can show: antialiased, they are grey
    seen = []
    network.backbone_shallow.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(stripes)
        network(image)
        resized = nn.functional.interpolate(image, (64, 96), mode="bilinear", antialias=True)
        torch.testing.assert_close(network(image, resized), network(image))
    assert seen[0].shape == (1, 3, 64, 96)
    assert seen[0].abs().mean() < 0.05


def test_autocast(randomise):
    network, image = small()
    randomise(network)
    with torch.inference_mode():
        expected = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image)
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.05 * expected.abs().max().item())
    assert network.bfloat16()(image.bfloat16()).dtype == torch.bfloat16


def test_batch_equals_per_item(randomise):
    network, image = small(gate=True)
    randomise(network)
    with torch.inference_mode():
        torch.testing.assert_close(
            network(image), torch.cat([network(item[None]) for item in image]), rtol=1e-4, atol=1e-5
        )


def test_gate_weighs_the_branches(randomise):
    network, image = small(gate=True)
    randomise(network)
    assert network.alpha.item() == 0.5
    with torch.inference_mode():
        plain = network.forward_features(image)
        network.alpha.fill_(0.25)
        gated = network.forward_features(image)
    torch.testing.assert_close(gated[:, :1280], plain[:, :1280] / 2)
    torch.testing.assert_close(gated[:, 1280:], plain[:, 1280:] * 1.5)
    network(image).sum().backward()
    assert network.alpha.grad is not None


def test_auxiliary_heads_speak_in_training_only():
    network, image = small(auxiliary_heads=True)
    logits = network(image)
    assert [tuple(head.shape) for head in logits] == [(2, 5)] * 3
    target = torch.tensor([1, 4])
    cross_entropy = nn.CrossEntropyLoss()
    loss = DeepSupervisionLoss(cross_entropy, weights=[1.0, 0.3, 0.2])(logits, target)
    expected = sum(w * cross_entropy(head, target) for w, head in zip([1, 0.3, 0.2], logits, strict=True))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert network.auxiliary_shallow.weight.grad.abs().sum() > 0
    assert network.eval()(image).shape == (2, 5)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("branches", [1, 2])
def test_frozen_backbones_do_not_move(branches):
    if branches == 2:
        network, image = small(freeze_backbones=True)
    else:
        network, image = SingleBranchClassifier(5, ResNetBackbone(18), freeze_backbones=True), torch.rand(2, 3, 64, 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(image).square().sum().backward()
    optimizer.step()
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"head.weight", "head.bias"}


def test_batchnorm_of_free_backbones_moves():
    network, image = small()
    before = network.backbone_detailed.bn1.running_mean.clone()
    network.train()(image)
    assert not torch.equal(network.backbone_detailed.bn1.running_mean, before)


def test_separate_learning_rates_by_monai():
    """The line that docs/networks.md gives."""
    network, _ = small(gate=True)
    groups = generate_param_groups(network, [lambda item: item[0].startswith("backbone")], ["filter"], [1e-5])
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-5, 1e-3]
    assert len(optimizer.param_groups[1]["params"]) == 3  # head.weight, head.bias, alpha
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_dropout_and_zero_head():
    network, image = small(dropout=0.5, zero_init_head=True)
    assert network.eval()(image).abs().max() == 0
    nn.init.ones_(network.head.weight)
    network.freeze_backbones = True  # still BatchNorm, so that dropout alone is random
    network.train()
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_any_module_with_out_channels_is_a_backbone():
    own = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2), nn.ReLU())
    with pytest.raises(FetalMonaiError, match="detailed: Sequential has no integer attribute out_channels"):
        DualBranchClassifier(4, ResNetBackbone(18), own)
    own.out_channels = 7
    network = DualBranchClassifier(4, ResNetBackbone(18), own, shallow_size=(64, 64))
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 4)


def test_a_network_of_monai_is_a_backbone_and_can_be_recorded(randomise):
    options = {"model_name": "resnet18", "pretrained": False, "spatial_dims": 2, "in_channels": 3}
    network = SingleBranchClassifier(4, MonaiBackbone("ResNetFeatures", 512, **options))
    randomise(network)
    again = rebuild(network.config).eval()
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again(image), network(image))
    with pytest.raises(FetalMonaiError, match=r"MONAI network 'ResNet19' is unknown; known are .*DenseNet"):
        MonaiBackbone("ResNet19", 512)


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (lambda: EfficientNetBackbone("b9"), "b0, b1, b2, b3, b4, b5, b6, b7, lite0, lite1, lite2"),
        (lambda: ResNetBackbone(19), "18, 34, 50"),
        (lambda: DenseNetBackbone(100), "121, 169, 201"),
    ],
)
def test_unknown_backbone_lists_the_known(make, known):
    with pytest.raises(FetalMonaiError, match=f"is unknown; known are {known}"):
        make()


@given(height=st.integers(1, 70), width=st.integers(1, 70), kernel=st.sampled_from([3, 5]))
@settings(max_examples=50, deadline=None)
def test_same_padding_by_its_definition(height, width, kernel):
    """ceil(n / 2) outputs, the padding as even as can be and the odd one below and right."""
    marked = SamePadding(kernel, 2)(torch.ones(1, 1, height, width))
    padded = nn.functional.conv2d(marked, torch.ones(1, 1, kernel, kernel), stride=2)
    assert padded.shape[2:] == (-(-height // 2), -(-width // 2))
    for axis, side in ((2, height), (3, width)):
        before = int(marked.amax(5 - axis).flatten().argmax())
        after = marked.shape[axis] - side - before
        assert 0 <= after - before <= 1


@pytest.mark.parametrize("variant", ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "lite0", "lite1", "lite2"])
def test_efficientnet_family(variant):
    with torch.device("meta"):
        backbone = EfficientNetBackbone(variant)
    expected = {"b0": 1280, "b1": 1280, "b2": 1408, "b3": 1536, "b4": 1792, "b5": 2048, "b6": 2304, "b7": 2560}
    assert backbone.out_channels == expected.get(variant, 1280)
    assert backbone.architecture == f"efficientnet-{variant}"


def test_running_statistics_follow_a_short_training():
    """After forty batches of one kind they are that kind's: validation and every short recipe rely on it."""
    backbone = EfficientNetBackbone("lite0").train()
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        stem = backbone._conv_stem(backbone._conv_stem_padding(image))
        for _ in range(40):
            backbone(image)
    torch.testing.assert_close(backbone._bn0.running_mean, stem.mean((0, 2, 3)), rtol=0.02, atol=1e-3)
    torch.testing.assert_close(backbone._bn0.running_var, stem.var((0, 2, 3)), rtol=0.02, atol=0.02)
    with pytest.raises(FetalMonaiError, match="batch_norm_momentum is 0; it must be above 0"):
        EfficientNetBackbone("lite0", batch_norm_momentum=0)


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_frozen_stages_stay_as_they_came_and_the_others_learn(stages):
    backbone = EfficientNetBackbone("lite0", drop_connect_rate=0.0, frozen_stages=stages)
    network = SingleBranchClassifier(3, backbone).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    frozen = (("_conv_stem", "_bn0"), *((f"_blocks.{index}.",) for index in range(stages)))[:stages]
    frozen = tuple(start for stage in frozen for start in stage)
    for key, value in backbone.state_dict().items():
        if key.endswith(("running_mean", "weight")):
            assert torch.equal(value, before[key]) == key.startswith(frozen), key
    with pytest.raises(FetalMonaiError, match="frozen_stages is 9; it must be between 0 and 8"):
        EfficientNetBackbone("lite0", frozen_stages=9)


@pytest.mark.parametrize("single", [True, False])
def test_flips_are_averaged_in_evaluation_alone(single, randomise):
    """Whatever way the picture is mirrored, the logits are the same: the mean of four, with either way of asking."""
    backbones = [randomise(ResNetBackbone(18)), randomise(ResNetBackbone(18), seed=1)]
    if single:
        network = SingleBranchClassifier(5, backbones[0], average_flips=True)
    else:
        network = DualBranchClassifier(5, *backbones, shallow_size=(48, 64), gate=True, average_flips=True)
    image = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(2)) * 2 - 1
    mirrors = [image, image.flip(-1), image.flip(-2), image.flip(-1, -2)]
    with torch.inference_mode():
        averaged = network.eval()(image)
        for mirror in mirrors[1:]:
            torch.testing.assert_close(network(mirror), averaged)
        torch.testing.assert_close(network.head(network.forward_features(image)), averaged)
        network.average_flips = False
        alone = torch.stack([network(mirror) for mirror in mirrors])
        torch.testing.assert_close(alone.mean(0), averaged)
        assert (alone.std(0) > 1e-4).all(), "mirrors that look alike prove nothing"
        network.average_flips = True
        network.train()
        assert not network(image).allclose(network(image.flip(-1)), rtol=1e-3)


def test_networks_are_rebuilt_from_their_record(randomise):
    network, image = small(gate=True, dropout=0.2)
    randomise(network)
    again = rebuild(network.config)
    again.load_state_dict(network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(image), network(image))
