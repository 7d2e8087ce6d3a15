"""The losses against the reference's values, torch, MONAI and closed forms."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import FocalLoss as MonaiFocalLoss
from torch.nn import functional

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.losses import (
    FocalLoss,
    LDAMFocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    effective_number_weights,
    inverse_frequency_weights,
    ldam_margins,
)

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "losses.json"
COUNTS = [800, 90, 40, 7]
LOSSES = {
    "focal": lambda **options: FocalLoss(COUNTS, gamma=1.5, **options),
    "focal, weight inside": lambda **options: FocalLoss(COUNTS, gamma=1.5, weight_in_exponent=True, **options),
    "ldam": lambda **options: LDAMLoss(COUNTS, scale=3.0, **options),
    "ldam-focal": lambda **options: LDAMFocalLoss(COUNTS, scale=3.0, **options),
    "logit-adjusted": lambda **options: LogitAdjustedLoss(COUNTS, **options),
}
every_loss = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def batch(size=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size, len(COUNTS), generator=generator, dtype=dtype)
    return logits, torch.randint(len(COUNTS), (size,), generator=generator)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference's values are not in this checkout")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", [0, 1])
def test_reference_values(case, device):
    reference = json.loads(REFERENCE.read_text())[case]
    counts, expected = reference["class_counts"], reference["loss"]
    logits = torch.tensor(reference["logits"], device=device, requires_grad=True)
    target = torch.tensor(reference["targets"], device=device)
    weights = effective_number_weights(counts, 0.9999)
    torch.testing.assert_close(
        weights, torch.tensor(reference["effective_number_weights_beta_0.9999"]), rtol=1e-5, atol=0
    )
    got = {"label_smoothing eps=0.1": torch.nn.CrossEntropyLoss(label_smoothing=0.1)(logits, target)}
    for suffix, beta in (("", 0.0), (" weighted", 0.9999)):
        for gamma in (0, 1, 2):
            loss = FocalLoss(counts, gamma=gamma, weight_in_exponent=True, beta=beta)
            got[f"focal gamma={gamma}{suffix}"] = loss(logits, target)
        got[f"ldam max_margin=0.5 scale=30{suffix}"] = LDAMLoss(counts, beta=beta)(logits, target)
        got[f"ldam_focal defaults{suffix}"] = LDAMFocalLoss(counts, beta=beta)(logits, target)
    gradient = torch.autograd.grad(got["ldam_focal defaults weighted"], logits)[0]
    got["ldam_focal defaults weighted: gradient L2 norm"] = gradient.norm()
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert value.item() == pytest.approx(expected[name], rel=1e-5), name


@every_loss
def test_gradcheck(make):
    logits, target = batch()
    loss = make(beta=0.999)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


def test_ldam_focal_by_its_definition():
    """Image by image in plain Python, with the weight inside the exponent and outside."""
    logits, target = batch()
    weights = effective_number_weights(COUNTS, 0.999).tolist()
    margins = [0.5 * (count / min(COUNTS)) ** -0.25 for count in COUNTS]
    for inside in (True, False):
        ldam = focal = total = 0.0
        for z, y in zip(logits.tolist(), target.tolist(), strict=True):
            shifted = [30 * (value - margins[y] * (j == y)) for j, value in enumerate(z)]
            ldam += weights[y] * (math.log(sum(math.exp(value) for value in shifted)) - shifted[y])
            p = math.exp(z[y]) / sum(map(math.exp, z))
            focal += (1 - (p ** weights[y] if inside else p)) ** 2 * -weights[y] * math.log(p)
            total += weights[y]
        loss = LDAMFocalLoss(COUNTS, gamma=2.0, focal_factor=0.5, beta=0.999, weight_in_exponent=inside)
        assert loss(logits, target).item() == pytest.approx(0.8 * ldam / total + 0.5 * focal / len(target), rel=1e-5)


def test_ldam_focal_limits_are_the_simpler_losses():
    logits, target = batch()
    cross_entropy = functional.cross_entropy(logits, target)
    scaled = functional.cross_entropy(30 * logits, target)
    focal = FocalLoss(COUNTS, gamma=1.0)(logits, target)
    margin = LDAMLoss(COUNTS)(logits, target)
    torch.testing.assert_close(LDAMFocalLoss(COUNTS, max_margin=0.0)(logits, target), 0.8 * scaled + 0.8 * focal)
    torch.testing.assert_close(LDAMFocalLoss(COUNTS, gamma=0.0)(logits, target), 0.8 * margin + 0.8 * cross_entropy)
    both = LDAMFocalLoss(COUNTS, max_margin=0.0, gamma=0.0, scale=1.0)(logits, target)
    torch.testing.assert_close(both, 1.6 * cross_entropy)


def test_weighted_limits_equal_torch():
    logits, target = batch()
    weight = effective_number_weights(COUNTS, 0.999).double()
    expected = functional.cross_entropy(logits, target, weight=weight)
    torch.testing.assert_close(LDAMLoss(COUNTS, max_margin=0.0, scale=1.0, beta=0.999)(logits, target), expected)
    torch.testing.assert_close(LogitAdjustedLoss(COUNTS, tau=0.0, beta=0.999)(logits, target), expected)


def test_focal_with_weights_outside_equals_monai():
    logits, target = batch(dtype=torch.float32)
    weight = effective_number_weights(COUNTS, 0.999)
    theirs = MonaiFocalLoss(use_softmax=True, gamma=2.0, weight=weight, reduction="none")
    one_hot = functional.one_hot(target, len(COUNTS)).float()
    expected = theirs(logits, one_hot).sum(dim=1).mean()
    torch.testing.assert_close(FocalLoss(COUNTS, gamma=2.0, weight=weight)(logits, target), expected)


def test_weight_inside_or_outside_differ_only_where_weights_do():
    logits, target = batch()
    inside, outside = (FocalLoss(COUNTS, weight_in_exponent=flag, beta=0.999) for flag in (True, False))
    assert not torch.isclose(inside(logits, target), outside(logits, target), rtol=1e-3)
    inside, outside = (FocalLoss(COUNTS, weight_in_exponent=flag) for flag in (True, False))
    torch.testing.assert_close(inside(logits, target), outside(logits, target))


def test_balanced_softmax_by_its_definition():
    logits, target = batch()
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    share = counts * logits.exp() / (counts * logits.exp()).sum(dim=1, keepdim=True)
    expected = -share[torch.arange(len(target)), target].log().mean()
    torch.testing.assert_close(LogitAdjustedLoss(COUNTS)(logits, target), expected)


@every_loss
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_soft_targets_are_the_expectation_over_hard_ones(make, seed):
    logits, target = batch(seed=seed)
    loss = make(beta=0.0)
    one_hot = functional.one_hot(target, len(COUNTS)).double()
    torch.testing.assert_close(loss(logits, one_hot), loss(logits, target))
    other = (target + 1) % len(COUNTS)
    mixed = 0.3 * one_hot + 0.7 * functional.one_hot(other, len(COUNTS))
    torch.testing.assert_close(loss(logits, mixed), 0.3 * loss(logits, target) + 0.7 * loss(logits, other))


@pytest.mark.parametrize(
    "make",
    [
        *LOSSES.values(),
        lambda **_: torch.nn.CrossEntropyLoss(),
        lambda **_: torch.nn.CrossEntropyLoss(label_smoothing=0.1),
    ],
    ids=[*LOSSES, "cross-entropy", "label smoothing"],
)
def test_probabilities_of_0_and_1_are_class_numbers_in_value_and_gradient(make):
    logits, target = batch()
    loss = make(beta=0.999)
    found = []
    for given_target in (target, functional.one_hot(target, len(COUNTS)).to(logits)):
        given_logits = logits.clone().requires_grad_()
        value = loss(given_logits, given_target)
        found.append((value, *torch.autograd.grad(value, given_logits)))
    torch.testing.assert_close(found[0], found[1])


def test_torch_divides_weighted_probabilities_by_the_images():
    """Where our losses divide by the weights' sum: the same direction in each batch, of another length."""
    logits, target = batch()
    weight = effective_number_weights(COUNTS, 0.999).double()
    loss = torch.nn.CrossEntropyLoss(weight=weight)
    one_hot = functional.one_hot(target, len(COUNTS)).to(logits)
    torch.testing.assert_close(loss(logits, one_hot) * len(target), loss(logits, target) * weight[target].sum())


@every_loss
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_order_of_the_batch_does_not_matter(make, seed):
    logits, target = batch(seed=seed)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
    loss = make(beta=0.999)
    torch.testing.assert_close(loss(logits[order], target[order]), loss(logits, target))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_extreme_logits_stay_finite(gamma, dtype, device):
    largest = 6e4  # near float16's largest, and 30 times that in LDAM
    logits = torch.tensor([[largest, -largest, 0, 0], [0, 0, 0, 0], [-largest, largest, largest, -largest]])
    for target in (torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3])):
        for loss in (
            LDAMFocalLoss(COUNTS, gamma=gamma, beta=0.9999),
            FocalLoss(COUNTS, gamma=gamma, weight_in_exponent=True, beta=0.9999),
            LogitAdjustedLoss(COUNTS, tau=2.0),
        ):
            extreme = logits.to(device, dtype).requires_grad_()
            with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype != torch.float32):
                value = loss(extreme, target.to(device))
            value.backward()
            assert value.dtype == torch.float32
            assert torch.isfinite(value)
            assert torch.isfinite(extreme.grad).all()


def test_weights_closed_forms():
    weights = effective_number_weights([4, 2, 1], beta=0.5)
    raw = [0.5 / (1 - 0.5**n) for n in (4, 2, 1)]
    assert weights.tolist() == pytest.approx([3 * value / sum(raw) for value in raw])
    assert effective_number_weights([4, 2, 1], beta=0.0).tolist() == [1, 1, 1]
    assert inverse_frequency_weights([4, 2, 1]).tolist() == pytest.approx([3 / 7, 6 / 7, 12 / 7])
    assert inverse_frequency_weights([16, 4, 1], 0.5).tolist() == pytest.approx([3 / 7, 6 / 7, 12 / 7])
    assert inverse_frequency_weights([16, 4, 1], 0).tolist() == [1, 1, 1]
    assert ldam_margins([16, 1], 0.4).tolist() == pytest.approx([0.2, 0.4])


@given(
    counts=st.lists(st.integers(1, 10**7), min_size=1, max_size=20), beta=st.sampled_from([0, 0.9, 0.9999, 1 - 1e-12])
)
def test_weights_are_finite_ordered_and_sum_to_the_classes(counts, beta):
    weights = effective_number_weights(counts, beta).tolist()
    assert all(math.isfinite(weight) and weight > 0 for weight in weights)
    assert sum(weights) == pytest.approx(len(counts), rel=1e-4)
    by_count = [weight for _, weight in sorted(zip(counts, weights, strict=True), key=lambda pair: (pair[0], -pair[1]))]
    assert by_count == sorted(by_count, reverse=True)


@given(
    counts=st.lists(st.integers(1, 10**7), min_size=2, max_size=20),
    power=st.floats(0, 1),
    factor=st.integers(2, 100),
)
def test_powers_of_the_counts(counts, power, factor):
    """The ratio of two weights is the ratio of their counts to that power, whatever the size of the data."""
    weights = inverse_frequency_weights(counts, power)
    assert weights.sum().item() == pytest.approx(len(counts), rel=1e-4)
    ratios = [(counts[0] / count) ** power for count in counts]
    assert (weights / weights[0]).tolist() == pytest.approx(ratios, rel=1e-4)
    torch.testing.assert_close(inverse_frequency_weights([factor * n for n in counts], power), weights)


def test_on_few_images_beta_0_9999_is_the_inverse_frequency_within_one_percent():
    counts = [208, 130, 116, 95, 60, 46, 17, 6]
    torch.testing.assert_close(
        effective_number_weights(counts, 0.9999), inverse_frequency_weights(counts), rtol=0.01, atol=0
    )


def test_beta_near_one_is_the_inverse_frequency():
    counts = [5000, 50, 5]
    torch.testing.assert_close(
        effective_number_weights(counts, 1 - 1e-12), inverse_frequency_weights(counts), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(
    "use",
    [
        effective_number_weights,
        inverse_frequency_weights,
        ldam_margins,
        LDAMFocalLoss,
        LDAMLoss,
        FocalLoss,
        LogitAdjustedLoss,
    ],
)
def test_class_without_images_is_named(use):
    with pytest.raises(InputError, match=r"class 1 \(Spine\) has no training image; add images"):
        use([5, 0, 3], class_names=["Femur", "Spine", "Cervix"])


def test_wrong_arguments_are_named():
    for make, message in (
        (lambda: effective_number_weights([1], 1.0), "beta is 1.0"),
        (lambda: inverse_frequency_weights([1], -0.5), r"power is -0.5; it must be in \[0, 1\]"),
        (lambda: inverse_frequency_weights([1], 1.5), "power is 1.5"),
        (lambda: inverse_frequency_weights([1], float("nan")), "power is nan"),
        (lambda: FocalLoss([1, 2], gamma=-1), "gamma is -1"),
        (lambda: LDAMFocalLoss([1, 2], gamma=-1), "gamma is -1"),
        (lambda: LDAMLoss([1, 2], scale=0), "scale 0"),
        (lambda: LDAMLoss([1, 2], weight=[1.0]), "2 classes"),
        (lambda: FocalLoss([1, 2])(torch.zeros(3, 4), torch.zeros(3).long()), r"expected \(batch, 2\)"),
        (lambda: FocalLoss([1, 2])(torch.zeros(3, 2), torch.zeros(3)), "class numbers"),
    ):
        with pytest.raises((FetalMonaiError, ValueError), match=message):
            make()
    with pytest.raises(InputError, match="2 counts for 1 class names"):
        FocalLoss([1, 2], class_names=["Femur"])
