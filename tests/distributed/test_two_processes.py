"""What two processes make together, held against what one makes of the same; both are real, on Gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Accuracy
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import from_engine
from monai.losses import DeepSupervisionLoss
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fetal_monai.distributed import each_once
from fetal_monai.errors import InputError
from fetal_monai.handlers import (
    EarlyStop,
    GlobalBatchLoss,
    ModelSaver,
    PredictionCollector,
    SameBuffers,
    SeedEpochs,
    TensorBoardFigures,
    TrainingCheckpoint,
)
from fetal_monai.metrics import GatheredEpochMetric, MacroF1, calibrated_log_likelihood
from fetal_monai.model.facts import ModelFacts

pytestmark = pytest.mark.slow
NAMES = ["a", "b", "c"]
IMAGES = 9  # five for one process, four for the other: in batches of four, two and one


def images() -> list[dict[str, Any]]:
    """Images without a name: only their place in the data set tells them apart."""
    generator = torch.Generator().manual_seed(1)
    return [{"image": torch.rand(3, 4, 4, generator=generator), "label": i % 3} for i in range(IMAGES)]


class Network(nn.Module):
    """Two heads, as deep supervision has them, perhaps after a BatchNorm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = norm
        self.heads = nn.ModuleList(nn.Linear(48, 3) for _ in range(2))

    def forward(self, image: torch.Tensor) -> Any:
        features = self.norm(image).flatten(1)
        return [head(features) for head in self.heads] if self.training else self.heads[0](features)


def validate(folder: Path, *, several: bool) -> dict[str, Any]:
    dataset = Dataset(images())
    network = Network(nn.BatchNorm2d(3))
    if several and distributed.get_rank() == 1:
        network.norm.running_mean.fill_(5.0)  # as after a step on images of its own
    collector, figures = PredictionCollector(NAMES), TensorBoardFigures(folder / "tb", NAMES)
    transform = from_engine(["pred", "label"])
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(dataset, batch_size=4, sampler=each_once(dataset) if several else None),
        network=network,
        key_val_metric={
            "likelihood": GatheredEpochMetric(calibrated_log_likelihood, transform, check_compute_fn=False)
        },
        additional_metrics={"f1": MacroF1(3, transform), "accuracy": Accuracy(transform)},
        val_handlers=[
            SameBuffers(),
            collector,
            figures,
            ModelSaver(folder / "model", network, ModelFacts(class_names=NAMES, network={}, preprocessing=[])),
        ],
        decollate=False,
    )
    evaluator.run(1)
    found = {"metrics": evaluator.state.metrics, "best": evaluator.state.best_metric}
    if collector.predictions is not None:
        found |= {
            "probabilities": collector.predictions.probabilities.tolist(),
            "labels": collector.predictions.labels.tolist(),
            "uids": [uid for uid, _ in collector.predictions.keys],
            "shown": [row[0] for row, _ in figures._candidates],
        }
    return found


def train(folder: Path, *, several: bool) -> dict[str, Any]:
    """One epoch of two batches, with a loss weighted by class and summed over two heads."""
    dataset = Dataset(images()[:8])
    network = Network(nn.Identity())
    wrapped = DistributedDataParallel(network) if several else network
    replicas = {} if several else {"num_replicas": 1, "rank": 0}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(
            dataset, batch_size=2 if several else 4, sampler=DistributedSampler(dataset, seed=3, **replicas)
        ),
        network=wrapped,
        optimizer=optimizer,
        loss_function=DeepSupervisionLoss(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 20.0]))),
        train_handlers=[
            SeedEpochs(1),
            GlobalBatchLoss(),
            TrainingCheckpoint(folder / "last.pt", {"network": wrapped, "optimizer": optimizer}),
        ],
        decollate=False,
    )
    draws = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].item())
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: draws.append(torch.rand(()).item()))
    trainer.run()
    loss = trainer.loss_function
    GlobalBatchLoss()(trainer)  # as the start of another run does
    assert trainer.loss_function is loss
    return {"losses": losses, "weights": network.heads[0].weight.tolist(), "draws": draws}


def refuse_a_checkpoint_of_one_machine(folder: Path) -> str:
    own = folder / f"machine {distributed.get_rank()}"
    own.mkdir()
    if distributed.get_rank() == 0:
        torch.save({}, own / "last.pt")
    trainer = Engine(lambda *_: None)
    TrainingCheckpoint(own / "last.pt", {}, resume=True).attach(trainer)
    with pytest.raises(InputError) as caught:
        trainer.run([0])
    return str(caught.value)


def stop_early() -> int:
    """The key metric is the first process's, so that all agree when to stop."""
    metric = GatheredEpochMetric(lambda scores, _: -float(len(scores)) - distributed.get_rank(), check_compute_fn=False)
    validator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=[0],
        network=nn.Identity(),
        iteration_update=lambda *_: (torch.zeros(1, 3), torch.zeros(1)),
        key_val_metric={"score": metric},
        decollate=False,
    )
    trainer = Engine(lambda *_: None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validator.run(engine.state.epoch))
    EarlyStop(validator, patience=2).attach(trainer)
    return trainer.run([0], max_epochs=9).epoch


def _process(rank: int, folder: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.set_num_threads(1)
    found = {
        "validated": validate(folder, several=True),
        "trained": train(folder, several=True),
        "refused": refuse_a_checkpoint_of_one_machine(folder),
        "stopped": stop_early(),
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes has found."""
    processes = []
    for rank in range(2):
        environment = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        processes.append(
            subprocess.Popen(
                ["env", *(f"{k}={v}" for k, v in environment.items()), sys.executable, __file__, str(rank), str(folder)]
            )
        )
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_validation_counts_each_image_once_and_in_order(found, tmp_path):
    alone = validate(tmp_path, several=False)
    first, second = (part["validated"] for part in found)
    assert first["metrics"] == pytest.approx(alone["metrics"])
    assert second["metrics"] == first["metrics"]
    np.testing.assert_allclose(first["probabilities"], alone["probabilities"], rtol=1e-5)
    assert first["labels"] == [i % 3 for i in range(IMAGES)]
    assert first["uids"] == alone["uids"] == [f"image {i + 1}" for i in range(IMAGES)]
    assert "probabilities" not in second, "the first process goes on alone"
    assert set(first["shown"]) >= {"image 1", "image 2", "image 3"}, "those of both processes"


def test_a_loss_weighted_by_class_is_that_of_the_whole_batch(found, tmp_path):
    alone = train(tmp_path, several=False)
    for part in found:
        assert part["trained"]["losses"] == pytest.approx(alone["losses"])
        np.testing.assert_allclose(part["trained"]["weights"], alone["weights"], rtol=1e-5, atol=1e-7)


def test_processes_draw_differently_and_the_first_as_one_alone(found, tmp_path):
    alone = train(tmp_path, several=False)
    first, second = (part["trained"]["draws"] for part in found)
    assert first == alone["draws"]
    assert second != first


def test_the_first_process_writes_what_one_process_reads(found, folder):
    written = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.pt") if "machine" not in path.parts
    )
    assert [name for name in written if "machine" not in name] == ["last.pt", "model/model.pt"]
    assert len(list((folder / "tb").iterdir())) == 1
    network = torch.load(folder / "last.pt", weights_only=True)["network"]
    assert network.keys() == Network(nn.Identity()).state_dict().keys()


def test_a_checkpoint_that_not_all_machines_see_is_refused(found):
    for part in found:
        assert "process 0 sees this checkpoint and process 1 does not; --ckpt_dir must be on storage" in part["refused"]


def test_all_processes_stop_at_one_epoch(found):
    assert [part["stopped"] for part in found] == [3, 3]


if __name__ == "__main__":
    _process(int(sys.argv[1]), Path(sys.argv[2]))
