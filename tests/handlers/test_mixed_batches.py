"""Mixed batches: the labels say what the images show."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import MixUp

from fetal_monai.errors import FetalMonaiError
from fetal_monai.handlers import MixedBatches, RectangleMix


@pytest.mark.parametrize("make", [MixUp, RectangleMix], ids=["mixup", "cutmix"])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 7),
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    alpha=st.sampled_from([0.2, 1.0, 5.0]),
)
def test_labels_are_the_shares_of_each_image(make, seed, count, sides, alpha):
    """Image i is 1 in channel i alone, so the mean of a channel is the share of that image."""
    images = torch.eye(count).view(count, count, 1, 1).expand(count, count, *sides).contiguous()
    torch.manual_seed(seed)
    prepare = MixedBatches(make(batch_size=99, alpha=alpha), num_classes=count)
    mixed, labels = prepare({"image": MetaTensor(images), "label": torch.arange(count)})
    torch.testing.assert_close(mixed.mean((2, 3)), labels, rtol=1e-5, atol=1e-5)
    assert not isinstance(mixed, MetaTensor)


def test_soft_labels_are_mixed_as_the_images_are():
    """An image's value is the probability of its second class, so that mixtures keep to it."""
    soft = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    images = soft[:, 1].view(3, 1, 1, 1).expand(3, 3, 8, 8).contiguous()
    batch = {"image": images, "label": torch.tensor([0, 1, 1]), "soft_label": soft}
    torch.manual_seed(2)
    mixed, labels = MixedBatches(MixUp(batch_size=3, alpha=5.0), num_classes=2)(batch)
    torch.testing.assert_close(mixed.mean((1, 2, 3)), labels[:, 1])
    assert not torch.isclose(labels, soft).all()


def test_cutmix_pastes_one_whole_rectangle():
    torch.manual_seed(1)
    prepare = MixedBatches(RectangleMix(batch_size=1, alpha=1.0), num_classes=8)
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 30, 40).contiguous()
    mixed, labels = prepare({"image": images, "label": torch.arange(8)})
    pasted = 0
    for row in range(8):
        foreign = mixed[row, 0] != row
        rows, columns = foreign.any(1).nonzero().flatten(), foreign.any(0).nonzero().flatten()
        if len(rows):
            pasted += 1
            assert foreign[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
            assert foreign.float().mean() == pytest.approx(1 - labels[row, row].item(), abs=1e-6)
    assert pasted >= 4


def test_the_seed_of_torch_rules():
    batch = {"image": torch.rand(4, 3, 8, 8), "label": torch.tensor([0, 1, 2, 1])}
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(MixedBatches(MixUp(batch_size=4, alpha=1.0), num_classes=3)(batch)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_a_batch_without_labels_is_named():
    with pytest.raises(FetalMonaiError, match="the batch has none"):
        MixedBatches(MixUp(batch_size=4), num_classes=3)({"image": torch.rand(4, 3, 8, 8)})
