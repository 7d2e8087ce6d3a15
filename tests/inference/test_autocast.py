"""Shorter floats in training: inside the network alone, with float32 and no metadata around it."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from fetal_monai.inference.autocast import AutocastInferer, bfloat16_pays


class Probe(torch.nn.Module):
    """A linear layer that remembers what it was given and what it gave."""

    def __init__(self, heads=1):
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(8, 3) for _ in range(heads))

    def forward(self, image, image_shallow=None):
        self.given = type(image), image.dtype, None if image_shallow is None else type(image_shallow)
        outputs = tuple(head(image) for head in self.heads)
        self.inside = outputs[0].dtype
        return outputs if len(outputs) > 1 else outputs[0]


@pytest.mark.parametrize(("enabled", "inside"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_network_runs_in_the_type_asked_for_and_gives_float32(enabled, inside):
    network, image = Probe(), MetaTensor(torch.rand(4, 8), meta={"frame": 1})
    logits = AutocastInferer(enabled=enabled)(image, network, image)
    assert network.inside == inside
    assert network.given == (torch.Tensor, torch.float32, torch.Tensor)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, network.heads[0](image.as_tensor()), rtol=0.02, atol=0.02)
    logits.sum().backward()
    assert network.heads[0].weight.grad.dtype == torch.float32


def test_all_logits_of_auxiliary_heads_are_float32():
    found = AutocastInferer(enabled=True)(torch.rand(4, 8), Probe(heads=3))
    assert isinstance(found, tuple)
    assert [logits.dtype for logits in found] == [torch.float32] * 3


def test_by_default_the_processor_is_asked(monkeypatch):
    network = Probe()
    AutocastInferer()(torch.rand(4, 8), network)
    assert (network.inside == torch.bfloat16) == bfloat16_pays(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert not bfloat16_pays(torch.device("cpu"))
