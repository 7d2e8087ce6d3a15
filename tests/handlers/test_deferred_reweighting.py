"""Deferred re-weighting switches at its epoch, also in a training that is resumed after it."""

import pytest
import torch
from ignite.engine import Engine

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.handlers import DeferredReweighting
from fetal_monai.losses import LDAMFocalLoss, effective_number_weights

COUNTS = [90, 10, 40]


@pytest.mark.parametrize("make", [torch.nn.CrossEntropyLoss, lambda: LDAMFocalLoss(COUNTS, beta=0.9)])
@pytest.mark.parametrize("first_epoch", [1, 3, 5])
def test_weights_follow_from_the_epoch(make, first_epoch):
    loss = make()
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    seen = {}

    def step(engine, _):
        loss(logits, target)
        seen[engine.state.epoch] = loss.weight.clone()

    trainer = Engine(step)
    DeferredReweighting(loss, COUNTS, epoch=3, beta=0.999).attach(trainer)
    if first_epoch > 1:
        trainer.load_state_dict({"epoch": first_epoch - 1, "epoch_length": 1, "max_epochs": 6})
    trainer.run([0], max_epochs=6, epoch_length=1)
    assert sorted(seen) == list(range(first_epoch, 7))
    for epoch, weight in seen.items():
        expected = effective_number_weights(COUNTS, 0.999) if epoch > 3 else torch.ones(3)
        torch.testing.assert_close(weight, expected)


def test_a_loss_without_weights_and_a_class_without_images_are_named():
    with pytest.raises(FetalMonaiError, match="MSELoss has no attribute weight"):
        DeferredReweighting(torch.nn.MSELoss(), COUNTS)
    with pytest.raises(InputError, match=r"class 1 \(Spine\) has no training image"):
        DeferredReweighting(torch.nn.CrossEntropyLoss(), [3, 0], class_names=["Femur", "Spine"])
