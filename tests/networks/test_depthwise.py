"""Depthwise convolutions whose gradients are computed in float32, held against PyTorch's own in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fetal_monai.networks import EfficientNetBackbone
from fetal_monai.networks.depthwise import DepthwiseConv2d

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(5, 17), st.integers(5, 17))


def pair(channels: int, kernel: int, stride: int, padding: int) -> tuple[nn.Conv2d, DepthwiseConv2d]:
    conv = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
    return conv, DepthwiseConv2d.like(conv)


@given(shape=shapes, kernel=st.sampled_from([3, 5]), stride=st.integers(1, 2), padded=st.booleans(), nhwc=st.booleans())
@settings(max_examples=40, deadline=None)
def test_gradients_are_those_of_the_rounded_activations(shape, kernel, stride, padded, nhwc):
    conv, ours = pair(shape[1], kernel, stride, kernel // 2 if padded else 0)
    image = torch.randn(shape).to(memory_format=torch.channels_last if nhwc else torch.contiguous_format)
    short = image.bfloat16().double().requires_grad_()
    exact = conv.double()(short)
    gradient = torch.randn(exact.shape).bfloat16()
    exact.backward(gradient.double())
    wanted = conv.weight.grad.float()

    ours.weight = nn.Parameter(conv.weight.detach().float())
    image.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(image)
    assert found.dtype == torch.bfloat16
    found.backward(gradient)
    torch.testing.assert_close(ours.weight.grad, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(image.grad, short.grad.float(), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(found.double(), exact, rtol=5e-2, atol=5e-2)


def test_without_autocast_it_is_the_convolution_itself():
    conv, ours = pair(6, 3, 2, 1)
    image = torch.randn(2, 6, 9, 11)
    assert ours.weight is conv.weight
    for run in (conv, ours):
        run(image).square().sum().backward()
    assert torch.equal(ours(image), conv(image))
    single = torch.autograd.grad(conv(image).square().sum(), conv.weight)[0]
    assert torch.equal(conv.weight.grad, 2 * single)


def test_an_image_needs_no_gradient():
    _, ours = pair(4, 3, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        ours(torch.randn(1, 4, 6, 6)).sum().backward()
    assert ours.weight.grad.dtype == torch.float32


def test_no_gradients_no_autograd_function():
    _, ours = pair(4, 3, 1, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert ours(torch.randn(1, 4, 6, 6)).grad_fn is None


@pytest.mark.parametrize("variant", ["b0", "lite0"])
def test_every_depthwise_convolution_of_an_efficientnet_is_one(variant):
    convolutions = [m for m in EfficientNetBackbone(variant).modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(convolutions) == 16
    assert all(isinstance(conv, DepthwiseConv2d) for conv in convolutions)


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": 2},
        {"groups": 4, "bias": True},
        {"groups": 4, "padding_mode": "reflect"},
        {"groups": 4, "padding": "same"},
    ],
)
def test_other_convolutions_are_refused(settings):
    with pytest.raises(ValueError, match="no depthwise convolution"):
        DepthwiseConv2d.like(nn.Conv2d(4, 4, 3, **{"groups": 4, "bias": False, "padding": 1} | settings))


def test_where_a_network_is_taken_apart_it_is_pytorchs_own():
    conv, ours = pair(4, 3, 1, 1)
    image = torch.randn(1, 4, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(image[0]).grad_fn.name() == conv(image[0]).grad_fn.name()
        assert ours.double()(image.double()).dtype == torch.float64
        ours.float()
        gradient = torch.func.grad(lambda image: ours(image).float().square().sum())(image)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(conv(image.requires_grad_()).square().sum(), image)[0], rtol=0.05, atol=0.05
    )
