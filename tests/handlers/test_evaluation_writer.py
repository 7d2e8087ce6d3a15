import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd

from fetal_monai.errors import InputError
from fetal_monai.handlers import EvaluationWriter, PredictionCollector
from fetal_monai.metrics import Predictions
from fetal_monai.model.decisions import read_decisions

NAMES = ["Femur", "Head (PPP, Tectum)", "Other"]
LOGITS = torch.tensor([[4.0, 0, 0], [0, 3, 1], [0, 2, 1], [1, 0, 5], [2, 1, 0]])
LABELS = [0, 1, 2, 2, 1]


class Passes(torch.nn.Module):
    def forward(self, image):
        return image.flatten(1)


def evaluator(writer, *, decollate=True, postprocessing=None):
    items = [
        {
            "image": MetaTensor(row, meta={"SOPInstanceUID": f"1.2.{i}", "frame": i - 1}),
            "label": LABELS[i],
            "patient_id": f"P{i // 2}",
        }
        for i, row in enumerate(LOGITS)
    ]
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=Passes(),
        decollate=decollate,
        postprocessing=postprocessing,
        val_handlers=[writer],
    )


@pytest.mark.parametrize("decollate", [True, False])
def test_writes_everything_of_a_monai_evaluation(tmp_path, capsys, decollate):
    writer = EvaluationWriter(tmp_path / "out", NAMES)
    evaluator(writer, decollate=decollate).run()
    table = Predictions.read_csv(tmp_path / "out" / "predictions.csv", NAMES)
    assert table.keys == [(f"1.2.{i}", i - 1) for i in range(5)]
    assert table.labels.tolist() == LABELS
    assert table.patient_ids.tolist() == ["P0", "P0", "P1", "P1", "P2"]
    np.testing.assert_allclose(table.probabilities, LOGITS.double().softmax(1), rtol=1e-7)
    metrics = json.loads(writer.paths["metrics"].read_text())
    assert metrics["accuracy"] == pytest.approx(3 / 5)
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert writer.paths["per_class"].read_text().startswith("class,precision,recall,f1,support")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in writer.paths.values()}
    printed = capsys.readouterr().out
    assert "Head (PPP, Tectum)" in printed
    assert "confusion_matrix.png" in printed


def test_probabilities_are_taken_when_announced_and_refused_when_not(tmp_path):
    softmax = Activationsd(keys="pred", softmax=True)
    writer = EvaluationWriter(tmp_path, NAMES, logits=False, quiet=True)
    evaluator(writer, postprocessing=softmax).run()
    np.testing.assert_allclose(writer.predictions.probabilities, LOGITS.softmax(1), rtol=1e-5)
    with pytest.raises(InputError, match="logits=False"):
        evaluator(EvaluationWriter(tmp_path, NAMES), postprocessing=softmax).run()


def test_a_second_run_starts_afresh(tmp_path):
    writer = EvaluationWriter(tmp_path, NAMES, quiet=True)
    engine = evaluator(writer)
    engine.run()
    engine.run()
    assert len(writer.predictions) == 5


def test_nan_logits_name_the_image(tmp_path):
    class Breaks(Passes):
        def forward(self, image):
            return super().forward(image) * torch.nan

    engine = evaluator(EvaluationWriter(tmp_path, NAMES, quiet=True))
    engine.network = Breaks()
    with pytest.raises(InputError, match=r"row 1 \(1.2.0, frame -1\): a probability is NaN"):
        engine.run()
    assert list(tmp_path.iterdir()) == []


def collector_of(start, *, network=None):
    """A finished run on other patients."""
    collector = PredictionCollector(NAMES, network=network)
    rng = torch.Generator().manual_seed(start)
    engine = Engine(lambda _engine, batch: batch)
    collector.attach(engine)
    labels = [i % 3 for i in range(60)]
    logits = torch.randn(60, 3, generator=rng) + 2 * torch.nn.functional.one_hot(torch.tensor(labels), 3)

    def run(_engine, batch):
        pred = batch["pred"] if network is None else network.head(batch["pred"])
        return {"pred": pred, "label": batch["label"]}

    engine._process_function = run
    ids = [f"9.{start}.{i}" for i in range(60)]
    engine.run([{"pred": logits, "label": torch.tensor(labels), "SOPInstanceUID": ids, "patient_id": ids}])
    return collector


class WithHead(Passes):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Identity()

    def forward(self, image):
        return self.head(super().forward(image))


def test_what_is_fitted_lands_in_the_model_folder_and_comes_back(tmp_path):
    network = WithHead()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pt").write_bytes(b"weights")
    writer = EvaluationWriter(
        tmp_path / "out",
        NAMES,
        network=network,
        validation=collector_of(1, network=network),
        training=collector_of(2, network=network),
        calibration="temperature",
        model_dir=tmp_path / "model",
        report=False,
        quiet=True,
    )
    engine = evaluator(writer)
    engine.network = network
    engine.run()
    np.testing.assert_allclose(writer.features, LOGITS)
    found = read_decisions(tmp_path / "model", NAMES, hashlib.sha256(b"weights").hexdigest())
    metrics = json.loads(writer.paths["metrics"].read_text())
    assert found.calibration.temperature == pytest.approx(metrics["calibration"]["fitted"]["temperature"])
    assert found.conformal.calibrated_on == ("own", "own", "own")
    score = found.ood.score(writer.validation.features)
    assert (score <= found.ood_threshold).mean() == pytest.approx(0.95, abs=0.02)
    assert metrics["out_of_distribution"]["threshold"] == found.ood_threshold
    assert len(Predictions.read_csv(tmp_path / "out" / "predictions_validation.csv")) == 60


def test_training_images_too_few_for_a_distance_do_not_end_the_evaluation(tmp_path, caplog):
    network = WithHead()
    few = collector_of(2, network=network)
    few.features, few.predictions = few.features[:3], few.predictions.subset([0, 1, 2])
    writer = EvaluationWriter(
        tmp_path,
        NAMES,
        network=network,
        validation=collector_of(1, network=network),
        training=few,
        report=False,
        quiet=True,
    )
    engine = evaluator(writer)
    engine.network = network
    engine.run()
    assert "no out-of-distribution score is fitted: features: 1 problem" in caplog.text
    assert "out_of_distribution" not in json.loads(writer.paths["metrics"].read_text())


def test_a_validation_that_has_not_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="validation split has not been run"):
        evaluator(EvaluationWriter(tmp_path, NAMES, validation=PredictionCollector(NAMES), quiet=True)).run()


def test_images_without_any_label_get_predictions_and_nothing_else(tmp_path):
    engine = Engine(lambda _engine, batch: batch)
    EvaluationWriter(tmp_path, NAMES, quiet=True).attach(engine)
    engine.run([[{"pred": torch.tensor([3.0, 0, 0]), "label": None, "SOPInstanceUID": "1.2"}]])
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    assert Predictions.read_csv(tmp_path / "predictions.csv").labels.tolist() == [-1]


def _process(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    writer = EvaluationWriter(f"{folder}/out", NAMES, quiet=True)
    engine = evaluator(writer)
    sampler = torch.utils.data.distributed.DistributedSampler(engine.data_loader.dataset, 2, rank, shuffle=False)
    engine.data_loader = DataLoader(engine.data_loader.dataset, batch_size=2, sampler=sampler)
    engine.state.epoch_length = len(engine.data_loader)
    engine.run()
    assert (writer.predictions is None) == (rank == 1)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_write_each_image_once(tmp_path):
    processes = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    table = Predictions.read_csv(tmp_path / "out" / "predictions.csv", NAMES)
    assert sorted(table.keys) == [(f"1.2.{i}", i - 1) for i in range(5)]


if __name__ == "__main__":
    _process(int(sys.argv[1]), sys.argv[2])
