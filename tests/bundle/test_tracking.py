"""`--tracking mlflow`: what MLflow's own client reads back of a training and an evaluation; no server, no network."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.tracking import prepare_tracking

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's own
]
for package in ("mlflow", "sqlalchemy", "alembic"):
    pytest.importorskip(package, reason="tracking needs the extra mlflow")
telemetry = importlib.import_module("mlflow.telemetry")


@pytest.fixture(scope="module", autouse=True)
def _in_the_default_store():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def tracked(start, tmp_path_factory) -> Path:
    """A folder with a training and an evaluation, both tracked in the default store."""
    out = tmp_path_factory.mktemp("tracked")
    start(out, tracking="mlflow", learning_rate=0.002).run()
    start(out, "evaluate.yaml", run_id="evaluating", tracking="mlflow", outliers=False).run()
    return out


@pytest.fixture
def client(tracked: Path):
    return importlib.import_module("mlflow").MlflowClient(f"sqlite:///{tracked / 'eval' / 'mlruns.db'}")


def only_run(client, beginning: str):
    """The one run whose name begins so."""
    experiment = client.get_experiment_by_name("fetal_monai")
    (found,) = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if run.info.run_name.startswith("evaluation") == (beginning == "evaluation")
    ]
    return found


def files(client, run) -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id)}


def test_a_training_leaves_its_parameters_and_its_metrics_of_every_epoch(client, class_names):
    run = only_run(client, "training")
    assert run.info.status == "FINISHED"
    expected = {"learning_rate": "0.002", "batch_size": "8", "max_epochs": "2", "seed": "42", "training_images": "35"}
    assert run.data.params.items() >= expected.items()
    assert run.data.params["class_names"] == "; ".join(class_names)
    assert run.data.params["network"] == "DualBranchClassifier, resnet18, efficientnet-lite0"
    assert run.data.params["loss"] == "LDAMFocalLoss"
    for name in ("epoch_loss", "macro_f1", "accuracy", "log_likelihood"):
        assert [point.step for point in client.get_metric_history(run.info.run_id, name)] == [1, 2], name
    losses = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in losses] == list(range(1, 9)), "4 iterations an epoch"
    first, second = (
        sum(point.value for point in losses[start : start + 4]) / 4 for start in (0, 4)
    )  # ignite's average must be that of the iterations
    epochs = [point.value for point in client.get_metric_history(run.info.run_id, "epoch_loss")]
    assert epochs == pytest.approx([first, second])
    (config,) = [name for name in files(client, run) if name.startswith("config_")]
    assert files(client, run) == {config, "model.json"}


def test_an_evaluation_leaves_its_files(client, tracked, tmp_path):
    run = only_run(client, "evaluation")
    assert run.info.status == "FINISHED"
    assert (run.data.params["split"], run.data.params["fit_split"]) == ("test", "val")
    assert {"macro_f1", "accuracy", "log_likelihood"} <= run.data.metrics.keys()
    kept = {"report.html", "metrics.json", "per_class.csv", "predictions.csv", "model.json"}
    assert kept <= files(client, run)
    for name in kept - {"model.json"}:
        copy = Path(client.download_artifacts(run.info.run_id, name, str(tmp_path)))
        assert copy.read_bytes() == (tracked / "eval" / name).read_bytes()


def test_a_run_that_is_not_tracked_leaves_no_trace(start, tmp_path):
    flow = start(tmp_path)
    handlers = flow.parser.get_parsed_content("train#handlers")
    assert flow.parser.get_parsed_content("train#trainer#decollate") is False
    assert "MLFlowHandler" not in [type(handler).__name__ for handler in handlers if handler is not None]
    assert not (tmp_path / "eval" / "mlruns.db").exists()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "alembic" else find(name))
    assert prepare_tracking(False) is False
    with pytest.raises(FetalMonaiError, match=r"alembic.*pip install 'fetal_monai\[mlflow\]'"):
        prepare_tracking("config.json")


def test_mlflow_reports_nothing_to_its_makers(monkeypatch):
    monkeypatch.setattr("mlflow.telemetry.utils._IS_IN_CI_ENV_OR_TESTING", False)  # there MLflow is silent by itself
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    telemetry.set_telemetry_client()
    before = telemetry.get_telemetry_client()
    assert prepare_tracking(None) is True
    assert before is not None
    assert telemetry.get_telemetry_client() is None
