"""The handlers of a training: seeds by epoch, best model, early stop, checkpoint and resume."""

from __future__ import annotations

import json
import random
from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.engines import Evaluator
from monai.optimizers import WarmupCosineSchedule
from monai.transforms import Compose, RandFlip

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.handlers import EarlyStop, ModelSaver, SeedEpochs, TrainingCheckpoint, ValidateLastEpoch
from fetal_monai.handlers.started_with import describe_start
from fetal_monai.model.facts import ModelFacts, read_facts
from fetal_monai.model.released_model import RELEASED

FACTS = ModelFacts(class_names=["a", "b"], network={}, preprocessing=[])


def _idle(_: Engine, __: Any) -> dict[str, Any]:
    return {}


class Validator(Evaluator):
    """MONAI's evaluator with scripted values of the key metric, one for each validation."""

    def __init__(self, scores: list[float], handlers: list[Any] | None = None) -> None:
        super().__init__(device="cpu", val_data_loader=[0], iteration_update=_idle)
        self.scores = scores
        self.state.key_metric_name = "score"

        def script(engine: Engine) -> None:
            engine.state.metrics["score"] = self.scores[engine.state.epoch - 1]
            if engine.state.best_metric == -1 or engine.state.metrics["score"] > engine.state.best_metric:
                engine.state.best_metric = engine.state.metrics["score"]
                engine.state.best_metric_epoch = engine.state.epoch

        self.add_event_handler(Events.EPOCH_COMPLETED, script)
        for handler in handlers or []:
            handler.attach(self)


def draws(engine: Engine, batch: Any) -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002 - what libraries draw from


def test_an_epochs_draws_depend_on_seed_and_epoch_alone():
    seen: dict[tuple[int, int], tuple[float, ...]] = {}
    for seed in (1, 2):
        engine = Engine(draws)
        SeedEpochs(seed).attach(engine)
        engine.add_event_handler(
            Events.EPOCH_COMPLETED,
            lambda engine, seed=seed: seen.update({(seed, engine.state.epoch): engine.state.output}),
        )
        engine.run([0, 1], max_epochs=2)
    assert len(set(seen.values())) == 4, "seeds and epochs differ"
    engine = Engine(draws)
    SeedEpochs(1).attach(engine)
    engine.load_state_dict({"iteration": 2, "epoch_length": 2, "max_epochs": 2})
    engine.run([0, 1])
    assert engine.state.output == seen[1, 2], "the second epoch draws the same without the first"


def test_a_data_sets_random_transforms_are_seeded_too():
    transform = Compose([RandFlip(prob=0.5)])
    engine = Engine(lambda *_: transform.transforms[0].R.rand())
    SeedEpochs(5, Dataset([0], transform)).attach(engine)
    first = engine.run([0], max_epochs=1).output
    assert engine.run([0], max_epochs=1).output == first


@pytest.mark.parametrize(
    ("scores", "stops_after"),
    [([0.5, 0.4, 0.3, 0.9], 3), ([0.1, 0.2, 0.3, 0.4], 4), ([0.3, 0.2, 0.4, 0.3], 4), ([0.0, 0.0, 0.0, 1.0], 3)],
)
def test_early_stop_counts_epochs_without_a_new_best(scores, stops_after):
    validator = Validator(scores)
    trainer = Engine(_idle)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validator.run(engine.state.epoch))
    EarlyStop(validator, patience=2).attach(trainer)
    trainer.run([0], max_epochs=4)
    assert trainer.state.epoch == stops_after


@pytest.mark.parametrize(("interval", "epochs", "stops_after"), [(3, 9, 6), (2, 9, 4), (3, 5, 5)])
def test_early_stop_decides_where_it_was_validated(interval, epochs, stops_after):
    validator = Validator([0.5] * 9)
    trainer = Engine(_idle)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=interval), lambda engine: validator.run(engine.state.epoch))
    ValidateLastEpoch(validator, interval).attach(trainer)
    EarlyStop(validator, patience=2).attach(trainer)
    trainer.run([0], max_epochs=epochs)
    assert trainer.state.epoch == validator.state.epoch == stops_after


@pytest.mark.parametrize(("keep", "epoch", "score"), [("best", 2, 0.9), ("last", 3, 0.5)])
def test_the_best_model_is_kept_or_the_last(tmp_path, keep, epoch, score):
    network = torch.nn.Linear(1, 1, bias=False)
    (tmp_path / "calibration.json").write_text("fitted to other weights")
    validator = Validator([0.2, 0.9, 0.5], [ModelSaver(tmp_path, network, FACTS, keep=keep)])
    for number in (1, 2, 3):
        with torch.no_grad():
            network.weight.fill_(number)
        validator.run(number)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == epoch
    assert json.loads((tmp_path / "model.json").read_text())["selected"] == {"epoch": epoch, "val_score": score}
    assert read_facts(tmp_path) == FACTS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pt"]


def test_another_word_than_best_or_last_is_refused(tmp_path):
    with pytest.raises(FetalMonaiError, match="keep is 'newest'; it must be one of best, last"):
        ModelSaver(tmp_path, torch.nn.Linear(1, 1), FACTS, keep="newest")


def test_a_checkpoint_brings_everything_back(tmp_path):
    def setup(epochs: int, **options: Any) -> tuple[Engine, torch.nn.Linear, Validator]:
        network = torch.nn.Linear(1, 1)
        optimizer = torch.optim.Adam(network.parameters())
        validator = Validator([0.9, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

        def step(engine: Engine, batch: int) -> None:
            optimizer.zero_grad()
            network(torch.ones(1, 1)).sum().backward()
            optimizer.step()

        trainer = Engine(step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validator.run(engine.state.epoch))
        EarlyStop(validator, patience=2).attach(trainer)
        objects = {"network": network, "optimizer": optimizer, "absent": None}
        TrainingCheckpoint(tmp_path / "last.pt", objects, evaluator=validator, **options).attach(trainer)
        trainer.run([0, 1], max_epochs=epochs)
        return trainer, network, validator

    _, before, _ = setup(2)
    weight = before.weight.item()
    trainer, after, validator = setup(9, resume=True)
    assert trainer.state.iteration == 6
    assert after.weight.item() != weight
    assert abs(after.weight.item() - weight) < 0.01, "two steps of Adam from where it was"
    assert (validator.state.best_metric, validator.state.best_metric_epoch) == (0.9, 1)
    assert trainer.state.epoch == 3, "stopped early: the best epoch was the first, before the resume"

    with pytest.raises(InputError, match="--overwrite True"):
        setup(1)
    trainer, *_ = setup(1, overwrite=True)
    assert trainer.state.iteration == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"network": torch.nn.Linear(2, 2).state_dict()}, path)
    trainer = Engine(_idle)
    TrainingCheckpoint(path, {"network": torch.nn.Linear(3, 3)}, resume=True).attach(trainer)
    with pytest.raises(InputError, match="does not fit"):
        trainer.run([0], max_epochs=1)


def schedules(made_for: int) -> dict[str, Any]:
    """Each with what it is made of that depends on the number of epochs."""
    lr = torch.optim.lr_scheduler
    return {
        "cosine": lambda o: lr.CosineAnnealingLR(o, made_for),
        "warm-up and cosine": lambda o: WarmupCosineSchedule(o, 1, made_for),
        "in a row": lambda o: lr.SequentialLR(o, [lr.ConstantLR(o), lr.CosineAnnealingLR(o, made_for)], [1]),
        "one cycle": lambda o: lr.OneCycleLR(o, 0.1, total_steps=made_for),
        "polynomial": lambda o: lr.PolynomialLR(o, made_for),
        "plateau": lambda o: lr.ReduceLROnPlateau(o, patience=made_for),
    }


@pytest.mark.parametrize("name", schedules(1))
def test_a_schedule_made_for_other_epochs_is_refused(name, tmp_path):
    def run(made_for: int, epochs: int, *, resume: bool = False) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
        schedule = schedules(made_for)[name](optimizer)
        arguments = [0.5] if name == "plateau" else []
        trainer = Engine(lambda *_: optimizer.step())
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: schedule.step(*arguments))
        objects = {"optimizer": optimizer, "lr_scheduler": schedule}
        TrainingCheckpoint(tmp_path / "last.pt", objects, resume=resume).attach(trainer)
        trainer.run([0, 1], max_epochs=epochs)
        return optimizer

    run(8, 3)
    assert run(8, 6, resume=True).param_groups[0]["lr"] is not None, "the same schedule may go on"
    with pytest.raises(InputError, match=r"lr_scheduler\S*: 8(\.0)? in the checkpoint, 9(\.0)? in this run"):
        run(9, 9, resume=True)


def test_other_settings_are_refused_and_so_are_missing_ones(tmp_path):
    def run(settings: dict[str, Any], *, resume: bool = True) -> None:
        trainer = Engine(_idle)
        TrainingCheckpoint(tmp_path / "last.pt", {}, settings=settings, resume=resume).attach(trainer)
        trainer.run([0], max_epochs=trainer.state.epoch + 1)

    run({"drw_epoch": np.int64(4)}, resume=False)
    run({"drw_epoch": 4})
    for settings, said in (({"drw_epoch": 8}, "4 in the checkpoint, 8 in"), ({}, "4 in the checkpoint, none in")):
        with pytest.raises(InputError, match=f"drw_epoch: {said} this run"):
            run(settings)


def test_resuming_without_a_checkpoint_starts_and_says_so(tmp_path, caplog):
    trainer = Engine(_idle)
    TrainingCheckpoint(tmp_path / "last.pt", {}, resume=True).attach(trainer)
    trainer.run([0], max_epochs=1)
    assert "does not exist yet" in caplog.text


def test_the_released_model_is_never_trained_into():
    trainer = Engine(_idle)
    TrainingCheckpoint(RELEASED / "last.pt", {"network": torch.nn.Linear(3, 3)}, overwrite=True).attach(trainer)
    with pytest.raises(InputError, match="only read; give a --ckpt_dir of your own"):
        trainer.run([0], max_epochs=1)
    assert not (RELEASED / "last.pt").exists()


class Kind(str, Enum):
    SQUARE = "square"


class Mixer:
    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.draw = np.random.default_rng


class Mixed:
    def __init__(self, alpha: float) -> None:
        self.mixer = Mixer(alpha)


def test_a_start_tells_components_apart_in_plain_values(tmp_path):
    def start(weights: list[float], alpha: float) -> dict[str, Any]:
        loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights), label_smoothing=0.1)
        loss.kind = Kind.SQUARE  # as MONAI's Dice losses have one
        return describe_start({}, 3, {"loss": loss, "batches": Mixed(alpha)})

    one = start([0.25, 1 / 3], 0.2)
    assert one == {
        "epoch_length": 3,
        "loss": "CrossEntropyLoss",
        "loss.training": True,
        "loss.ignore_index": -100,
        "loss.reduction": "mean",
        "loss.label_smoothing": 0.1,
        "loss.kind": "square",
        "loss.weight": [0.25, 0.3333],
        "batches": "Mixed",
        "batches.mixer": "Mixer",
        "batches.mixer.alpha": 0.2,
    }
    torch.save(one, tmp_path / "start.pt")
    assert torch.load(tmp_path / "start.pt", weights_only=True) == one
    assert start([0.25, 0.34], 0.2) != one
    assert start([0.25, 1 / 3], 0.4) != one
