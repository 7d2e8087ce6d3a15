"""A loader that starves the device is named once, with what would help; one that keeps up is not."""

from __future__ import annotations

import logging
import time

import pytest
from ignite.engine import Engine, Events
from monai.transforms import Compose
from torch.utils.data import DataLoader, Dataset

from fetal_monai.data import FrameDataset
from fetal_monai.handlers import DataWait


class Slow(Dataset):
    """Takes its time over each item."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds)
        return index


def run(loader: DataLoader, step: float, epochs: int = 3, validation: float = 0.0, **options: float) -> DataWait:
    trainer = Engine(lambda *_: time.sleep(step))
    handler = DataWait(loader, **options)
    if validation:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: time.sleep(validation))
    handler.attach(trainer)
    trainer.run(loader, max_epochs=epochs)
    return handler


def said(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("fetal_monai")]


def test_a_slow_loader_is_named_once(caplog):
    handler = run(DataLoader(Slow(0.03)), 0.01, seconds=0.0)
    (message,) = said(caplog)
    assert message.startswith("epoch 1 waited for its data for 0 of 0 seconds (")
    share = int(message.split("(")[1].split(" %")[0])
    assert 55 < share < 90, "5 of the 6 batches count: 0.15 s of 0.21 s, with what a busy machine adds"
    assert handler.waited >= 0.15
    assert caplog.records[-1].levelno == logging.WARNING


@pytest.mark.parametrize(
    ("slow", "step", "options"),
    [(0.0, 0.02, {"seconds": 0.0}), (0.02, 0.0, {}), (0.03, 0.01, {"seconds": 0.0, "share": 0.95})],
    ids=["it keeps up", "it is soon over", "little enough for this one"],
)
def test_otherwise_nothing_is_said(caplog, slow, step, options):
    run(DataLoader(Slow(slow)), step, **options)
    assert said(caplog) == []


def test_validation_is_no_work_of_the_trainer(caplog):
    """It would hide the waiting, were it counted."""
    run(DataLoader(Slow(0.02)), 0.0, seconds=0.0, share=0.5, validation=0.5, epochs=1)
    assert len(said(caplog)) == 1


@pytest.mark.parametrize(
    ("cores", "workers", "rate", "stored", "remedies"),
    [
        (
            8,
            0,
            0.0,
            False,
            "num_workers is 0, this machine has 8 cores), or more frames kept in memory (cache_rate is 0)",
        ),
        (8, 0, 0.0, False, ", or frames kept on disk (give a cache_dir)"),
        (8, 2, 1.0, True, "quicker with more processes that load (num_workers is 2, this machine has 8 cores)"),
        (2, 1, 0.5, True, "quicker with more frames kept in memory (cache_rate is 0.5)"),
        (2, 1, 1.0, False, "quicker with frames kept on disk (give a cache_dir)"),
        (2, 1, 1.0, True, "quicker with a smaller base_size, or more processor cores"),
    ],
)
def test_it_says_what_would_help_and_nothing_else(
    tmp_path, monkeypatch, caplog, cores, workers, rate, stored, remedies
):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    frames = FrameDataset([], Compose([]), kept=0, cache_rate=rate, cache_dir=tmp_path if stored else None)
    loader = DataLoader(frames, num_workers=workers)
    slow = DataLoader(Slow(0.02))
    trainer = Engine(lambda *_: None)
    DataWait(loader, seconds=0.0).attach(trainer)
    trainer.run(slow, max_epochs=2)
    (message,) = said(caplog)
    assert remedies in message
    assert message.startswith("epoch 2" if stored else "epoch 1"), "the first epoch is when frames are stored"
