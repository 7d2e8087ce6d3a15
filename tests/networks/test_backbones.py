"""Backbones: which there are, their padding and their statistics, and anything else as one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    EfficientNetBackbone,
    MonaiBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
    place_network,
)
from fetal_monai.networks.efficientnet import SamePadding, _unmoved_statistics
from fetal_monai.utils.serialization import rebuild


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
def test_first_stages_keep_their_statistics_and_learn_all_the_same(stages):
    backbone = EfficientNetBackbone("lite0", drop_connect_rate=0.0, frozen_norm_stages=stages)
    network = SingleBranchClassifier(3, backbone).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    kept = ("_bn0", *(f"_blocks.{index}." for index in range(stages - 1)))[:stages]
    for key, value in backbone.state_dict().items():
        if key.endswith("running_mean"):
            assert torch.equal(value, before[key]) == key.startswith(kept), key
        elif key.endswith("weight"):
            assert not torch.equal(value, before[key]), key
    with pytest.raises(FetalMonaiError, match="frozen_norm_stages is 9; it must be between 0 and 8"):
        EfficientNetBackbone("lite0", frozen_norm_stages=9)


def test_stages_rest_as_well_when_sync_batch_norm_takes_their_places():
    backbone = torch.nn.SyncBatchNorm.convert_sync_batchnorm(
        EfficientNetBackbone("lite0", frozen_norm_stages=2)
    ).train()
    assert not backbone._bn0.training
    assert not any(module.training for module in backbone._blocks[0].modules())
    assert backbone._blocks[1].training
    block = backbone._blocks[1][0]
    with _unmoved_statistics(block):  # its forward pass needs a GPU
        norms = [module for module in block.modules() if isinstance(module, torch.nn.SyncBatchNorm)]
        assert norms
        assert all(norm.momentum == 0 and norm.num_batches_tracked is not None for norm in norms)


def test_compiled_networks_do_not_recompute():
    with pytest.raises(FetalMonaiError, match="compile and checkpoint_activations are both true"):
        place_network(EfficientNetBackbone("lite0"), "cpu", checkpoint_activations=True, compiled=True)


@pytest.mark.parametrize("resting", [0, 3])
def test_recomputed_activations_give_the_same_gradients_and_statistics(resting):
    """Stochastic depth included: it drops the same blocks the second time."""
    torch.manual_seed(0)
    backbone = EfficientNetBackbone("b0", frozen_norm_stages=resting).train()
    start = {name: value.clone() for name, value in backbone.state_dict().items()}
    image = torch.rand(2, 3, 64, 64)
    found = []
    for checkpointed in (False, True):
        backbone.load_state_dict(start)
        backbone.zero_grad()
        backbone.checkpoint_activations = checkpointed
        saved = [0]

        def count(tensor, saved=saved):
            saved[0] += tensor.numel()
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            features = backbone(image)
        features.square().mean().backward()
        gradients = [parameter.grad.clone() for parameter in backbone.parameters()]
        found.append((features, gradients, {k: v.clone() for k, v in backbone.state_dict().items()}, saved[0]))
    (kept, kept_gradients, kept_state, kept_size), (again, gradients, state, size) = found
    assert torch.equal(again, kept)
    for ours, theirs in zip(gradients, kept_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)
    for name, value in kept_state.items():
        assert torch.equal(state[name], value), name
    assert state["_bn0.num_batches_tracked"] == (0 if resting else 1)
    assert size < kept_size / 2
    assert torch.jit.script(backbone.eval())(image).shape == (2, 1280, 2, 2)
