"""Sharpness-aware steps: against the closed form of a quadratic, and without side effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.engines import SupervisedTrainer
from torch import nn

from fetal_monai.errors import FetalMonaiError
from fetal_monai.handlers import PrepareViews, SharpnessAware

BATCH = {"image": torch.ones(1, 1), "label": torch.zeros(1)}


class Quadratic(nn.Module):
    """Half of w' A w, whatever the image is."""

    def __init__(self, curvature: torch.Tensor, start: torch.Tensor) -> None:
        super().__init__()
        self.curvature = curvature
        self.weight = nn.Parameter(start.clone())

    def forward(self, _):
        return 0.5 * self.weight @ self.curvature @ self.weight


def trainer_of(network, *, loss=None, rate=0.1, batches=(BATCH,), radius=0.5, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    return SupervisedTrainer(
        "cpu",
        options.pop("max_epochs", 1),
        list(batches),
        network,
        optimizer,
        loss or (lambda prediction, _: prediction),
        train_handlers=[SharpnessAware(radius)],
        decollate=False,
        **options,
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), radius=st.floats(0.01, 3), size=st.integers(1, 6))
def test_a_step_is_that_of_the_closed_form(seed, radius, size):
    random = np.random.default_rng(seed)
    root, start = random.normal(size=(size, size)), random.normal(size=size)
    curvature = root @ root.T + 0.1 * np.eye(size)
    slope = curvature @ start
    expected = start - 0.1 * curvature @ (start + radius * slope / np.linalg.norm(slope))
    network = Quadratic(torch.from_numpy(curvature), torch.from_numpy(start))
    trainer = trainer_of(network, radius=radius)
    trainer.run()
    np.testing.assert_allclose(network.weight.detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    before = 0.5 * start @ slope  # what is told is the loss at the old weights
    np.testing.assert_allclose(trainer.state.output["loss"].item(), before, rtol=1e-9)


def test_at_an_optimum_nothing_is_moved_and_an_overflow_is_left_to_the_scaler():
    still = Quadratic(torch.eye(2), torch.zeros(2))
    trainer_of(still).run()
    assert still.weight.tolist() == [0, 0]
    overflown = Quadratic(torch.eye(1), torch.ones(1))
    trainer = trainer_of(overflown, loss=lambda prediction, _: prediction * float("inf"), rate=0.0)
    trainer.run()
    assert overflown.weight.grad.item() == float("inf")  # for the trainer's gradient scaler to see


class TwoViews(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(3, 2)
        self.seen: list[tuple[torch.Tensor, ...]] = []
        self.weights: list[torch.Tensor] = []

    def forward(self, image, image_shallow=None):
        self.seen.append((image, image_shallow))
        self.weights.append(self.head.weight.detach().clone())
        return self.head(self.norm(image).mean((2, 3)) + image_shallow.mean((2, 3)))


def test_the_network_sees_all_views_twice_and_counts_them_once():
    torch.manual_seed(0)
    batch = {
        "image": torch.randn(4, 3, 6, 6),
        "image_shallow": torch.randn(4, 3, 2, 2),
        "label": torch.tensor([0, 1, 1, 0]),
    }
    network = TwoViews()
    alone = nn.BatchNorm2d(3)
    alone(batch["image"])
    trainer_of(
        network, loss=nn.CrossEntropyLoss(), batches=[batch], radius=0.25, rate=0.0, prepare_batch=PrepareViews()
    ).run()
    first, second = network.seen
    for one, other, given_to in zip(first, second, (batch["image"], batch["image_shallow"]), strict=True):
        assert torch.equal(one, given_to)
        assert torch.equal(other, given_to)
    assert 0 < (network.weights[1] - network.weights[0]).norm() < 0.25  # a part of all that moves
    assert torch.equal(network.head.weight, network.weights[0])  # put back, and a rate of 0 leaves it there
    assert torch.equal(network.norm.running_mean, alone.running_mean)
    assert torch.equal(network.norm.running_var, alone.running_var)
    assert int(network.norm.num_batches_tracked) == 1
    assert network.norm.track_running_stats


def test_a_second_run_looks_uphill_once():
    network = TwoViews()
    batch = {"image": torch.randn(2, 3, 4, 4), "image_shallow": torch.randn(2, 3, 2, 2), "label": torch.tensor([0, 1])}
    trainer = trainer_of(network, loss=nn.CrossEntropyLoss(), batches=[batch], prepare_batch=PrepareViews())
    trainer.run()
    trainer.run()
    assert len(network.seen) == 4
    assert len(network._forward_pre_hooks) == 1


class Fails(nn.Module):
    """At the weights it was made with it runs, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)
        self.register_buffer("seen", torch.zeros(()))
        self.first = self.head.weight.detach().clone()

    def forward(self, image):
        self.seen += 1
        if not torch.equal(self.head.weight, self.first):
            raise FloatingPointError("uphill")
        return self.head(image)


def test_weights_are_put_back_where_the_second_run_fails():
    network = Fails()
    trainer = trainer_of(network, loss=lambda prediction, _: prediction.sum())
    with pytest.raises(FloatingPointError, match="uphill"):
        trainer.run()
    assert torch.equal(network.head.weight, network.first)
    assert network.seen.item() == 1


def test_what_the_optimizer_does_not_have_stays():
    network = TwoViews()
    batch = {"image": torch.randn(2, 3, 4, 4), "image_shallow": torch.randn(2, 3, 2, 2), "label": torch.tensor([0, 1])}
    trainer = trainer_of(network, loss=nn.CrossEntropyLoss(), batches=[batch] * 3, prepare_batch=PrepareViews())
    trainer.optimizer = torch.optim.SGD([network.head.bias], lr=0.1)
    trainer.run()
    assert all(torch.equal(weight, network.weights[0]) for weight in network.weights)


@pytest.mark.parametrize("scale", [1.0, 2.0**60, 2.0**80])
def test_a_scaler_changes_no_step(scale, monkeypatch):
    """On a GPU it reaches such scales after many steps."""
    start = torch.tensor([1.0, -2.0])
    network, plain = (Quadratic(torch.diag(torch.tensor([1.0, 3.0])), start) for _ in range(2))
    trainer_of(plain).run()
    monkeypatch.setattr("torch.cuda.amp.GradScaler", lambda: torch.amp.GradScaler("cpu", init_scale=scale))
    trainer = trainer_of(network, amp=True, amp_kwargs={"enabled": False})
    trainer.run()
    assert trainer.scaler.get_scale() == scale
    torch.testing.assert_close(network.weight, plain.weight)


def test_what_cannot_be_is_refused():
    for radius in (0, -1, float("nan"), float("inf")):
        with pytest.raises(FetalMonaiError, match="give a number above 0"):
            SharpnessAware(radius)
    trainer = trainer_of(Quadratic(torch.eye(1), torch.ones(1)), accumulation_steps=2)
    with pytest.raises(FetalMonaiError, match="set accumulate to 1"):
        trainer.run()
