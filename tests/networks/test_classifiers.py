"""What the classifiers make of their backbones: views, gate, auxiliary heads, frozen parts, flips, records."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss
from monai.optimizers import generate_param_groups
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks import (
    DualBranchClassifier,
    EfficientNetBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
    classifiers,
)
from fetal_monai.utils.serialization import rebuild


def small(**options):
    network = DualBranchClassifier(
        5, EfficientNetBackbone("lite0"), ResNetBackbone(18), **({"shallow_size": (64, 96)} | options)
    )
    return network, torch.rand(2, 3, 96, 128) * 2 - 1


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


def test_mirror_images_under_the_autocast_of_a_gpu(randomise, monkeypatch):
    """Which adds up in float32 what the backbones give in bfloat16."""
    summed = classifiers.mean_over_mirrors
    monkeypatch.setattr(classifiers, "mean_over_mirrors", lambda *given: summed(*given).float())
    network, image = small(average_flips=1)
    assert randomise(network).bfloat16()(image.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("head", [nn.Sequential(nn.Linear(512, 9), nn.Linear(9, 5)), nn.Identity()], ids=str)
def test_another_head_may_be_put_on(head):
    network = SingleBranchClassifier(5, ResNetBackbone(18), average_flips=0.75).eval()
    network.head = head
    assert network(torch.zeros(2, 3, 64, 96)).shape[0] == 2


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


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("doubtful", [0, 1, 4, 7])
def test_only_images_in_doubt_are_averaged(single, doubtful, randomise):
    """The others keep the answer of one pass, and cost no more; an image's answer is its own in any batch."""
    backbone = ResNetBackbone(18)
    network = SingleBranchClassifier(5, backbone) if single else small()[0]
    randomise(network)
    watched = backbone if single else network.backbone_detailed
    image = torch.rand(7, 3, 64, 96, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        one_pass = network.eval()(image)
        network.average_flips = 1.0
        averaged = network(image)
        sure = one_pass.softmax(1).amax(1)
        limits = torch.cat([sure.new_zeros(1), sure.sort().values, sure.new_ones(1)])
        network.average_flips = float(limits[doubtful : doubtful + 2].mean())
        seen = []
        with watched.register_forward_pre_hook(lambda _, given: seen.append(len(given[0]))):
            found = network(image)
    in_doubt = sure < network.average_flips
    assert int(in_doubt.sum()) == doubtful
    torch.testing.assert_close(found[in_doubt], averaged[in_doubt])
    torch.testing.assert_close(found[~in_doubt], one_pass[~in_doubt])
    assert sum(seen) == 7 + 3 * doubtful
    assert (min(seen) > 0, max(seen)) == (True, 7)
    with torch.inference_mode():
        torch.testing.assert_close(torch.cat([network(one[None]) for one in image]), found)
        torch.testing.assert_close(network.head(network.forward_features(image)), found)
        if doubtful == 4:
            torch.testing.assert_close(torch.jit.script(network)(image), found)
            if single:  # EfficientNet's padding warns when it is traced
                torch.testing.assert_close(torch.jit.trace(network, image, check_trace=False)(image), averaged)


@pytest.mark.parametrize("value", [1.5, -0.1, "0.75", None])
def test_a_share_of_flips_that_is_no_probability_is_refused(value):
    with pytest.raises(FetalMonaiError, match=f"average_flips is {value!r}; give a probability"):
        SingleBranchClassifier(5, ResNetBackbone(18), average_flips=value)


def test_networks_are_rebuilt_from_their_record(randomise):
    network, image = small(gate=True, dropout=0.2)
    randomise(network)
    again = rebuild(network.config)
    again.load_state_dict(network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(image), network(image))


@pytest.mark.parametrize("options", [{}, {"gate": True}, {"average_flips": True}], ids=str)
def test_the_head_is_the_sum_of_what_either_branch_brings(randomise, options):
    network, image = small(**options)
    randomise(network)
    with torch.inference_mode():
        shallow, detailed = network.branch_logits(image)
        torch.testing.assert_close(shallow + detailed, network(image), rtol=1e-4, atol=1e-5)
        network.head.weight[:, : network.backbone_shallow.out_channels] = 0  # the coarse branch has no say
        shallow, detailed = network.branch_logits(image)
        torch.testing.assert_close(shallow, (network.head.bias / 2).expand(2, 5))
        torch.testing.assert_close(detailed, network(image) - network.head.bias / 2, rtol=1e-4, atol=1e-5)


def test_auxiliary_heads_are_the_branches_own_classifiers(randomise):
    network, image = small(auxiliary_heads=True, freeze_backbones=True, gate=True)
    randomise(network)
    with torch.inference_mode():
        branches = network.branch_logits(image)
        _, *expected = network.train()(image)  # frozen backbones compute in training what they do in evaluation
    torch.testing.assert_close(list(branches), expected)
