"""The main job: train, be killed, resume, evaluate, infer; on DICOM, through MONAI's own entry points."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.transforms import Compose
from sklearn.metrics import accuracy_score, f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fetal_monai.errors import FetalMonaiError, InputError, find_user_error
from fetal_monai.model.folder import load_model, load_weights

pytestmark = pytest.mark.thorough

PATIENCE_S = 180


def folders(out: Path) -> dict[str, str]:
    return {"ckpt_dir": str(out / "model"), "output_dir": str(out / "eval")}


@pytest.fixture(scope="module")
def trained(root, tiny, phantom, tmp_path_factory) -> Path:
    """A folder with a training of two epochs, run as a person would run it."""
    out = tmp_path_factory.mktemp("trained")
    done = subprocess.run(command(root, tiny, phantom, out), capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def command(root: Path, tiny: Path, phantom: Path, out: Path, *arguments: str, run: str = "training") -> list[str]:
    configs = [str(root / "bundle/configs/train.yaml"), str(tiny)]
    if run == "evaluating":
        configs.append(str(root / "bundle/configs/evaluate.yaml"))
    options = [f"--{name}={value}" for name, value in {**folders(out), "dataset_dir": str(phantom)}.items()]
    return [sys.executable, "-m", "monai.bundle", "run", run, f"--config_file={configs}", *options, *arguments]


def test_a_model_folder_holds_plain_weights_and_the_facts(trained, class_names):
    folder = trained / "model"
    state = torch.load(folder / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    facts = json.loads((folder / "model.json").read_text())
    assert facts["class_names"] == class_names
    assert "Not a medical device" in facts["notice"]
    assert facts["selected"]["epoch"] in {1, 2}
    assert facts["data"]["train"]["images"] == 35
    assert len(facts["data"]["sha256"]) == 64
    assert facts["data"]["learnt"] == ["train"]
    assert facts["software"]["versions"]["torch"] == torch.__version__
    network, preprocessing, _ = load_model(folder)
    views = preprocessing({"image": torch.zeros(3, 240, 320, dtype=torch.uint8)})
    with torch.inference_mode():
        assert network(views["image"][None], views["image_shallow"][None]).shape == (1, 16)


def test_tensorboard_has_losses_metrics_and_the_confusion_matrix(trained):
    events = EventAccumulator(str(trained / "eval" / "tensorboard")).Reload()
    assert {"train_loss", "macro_f1", "accuracy"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("macro_f1")] == [1, 2]
    assert any("confusion" in tag for tag in events.Tags()["images"])


def test_evaluation_writes_what_scikit_learn_computes(root, tiny, phantom, trained, class_names):
    done = subprocess.run(
        command(root, tiny, phantom, trained, run="evaluating"), capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr[-3000:]
    folder = trained / "eval"
    table = pd.read_csv(folder / "predictions.csv", dtype={"SOPInstanceUID": str})
    labels = pd.read_csv(phantom / "annotations.csv").query("split == 'test'")
    assert sorted(table["SOPInstanceUID"]) == sorted(labels["SOPInstanceUID"])
    truth = table["SOPInstanceUID"].map(labels.set_index("SOPInstanceUID")["class"])
    assert (table["class"] == truth).all()
    np.testing.assert_allclose(table[class_names].sum(axis=1), 1, atol=1e-4)
    assert (table[class_names].idxmax(axis=1) == table["prediction"]).all()
    metrics = json.loads((folder / "metrics.json").read_text())
    present = sorted(set(truth))
    expected = f1_score(truth, table["prediction"], labels=present, average="macro", zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(expected)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, table["prediction"]))
    per_class = pd.read_csv(folder / "per_class.csv")
    assert list(per_class["class"]) == class_names
    assert (folder / "confusion_matrix.png").stat().st_size > 10_000


def test_inference_gives_the_probabilities_of_the_evaluation(workflow, phantom, trained, class_names, tmp_path):
    test = pd.read_csv(phantom / "annotations.csv", dtype=str).query("split == 'test' and frame == '-1'")
    study = tmp_path / "study"
    study.mkdir()
    for uid in test["SOPInstanceUID"]:
        (study / f"{uid}.dcm").symlink_to(phantom / "dicom" / f"{uid}.dcm")
    flow = workflow(
        "infer", "inference.yaml", dataset_dir=str(study), ckpt_dir=str(trained / "model"), output_dir=str(tmp_path)
    )
    flow.initialize()
    flow.run()
    inferred = pd.read_csv(tmp_path / "predictions.csv", dtype={"SOPInstanceUID": str}).set_index("SOPInstanceUID")
    evaluated = pd.read_csv(trained / "eval" / "predictions.csv", dtype={"SOPInstanceUID": str})
    evaluated = evaluated.set_index("SOPInstanceUID").loc[inferred.index]
    np.testing.assert_allclose(inferred[class_names], evaluated[class_names], atol=1e-5)
    assert len(inferred) == len(test)


def test_a_killed_training_resumes_to_the_same_end(root, tiny, phantom, trained, tmp_path):
    """`trained` ran through; this one is killed in its second epoch, without a chance to tidy up."""
    last = tmp_path / "model" / "last.pt"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command(root, tiny, phantom, tmp_path), cwd=root, stdout=log, stderr=log)
    until = time.monotonic() + PATIENCE_S
    while not last.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
    assert torch.load(last, weights_only=True)["trainer"]["iteration"] == 4, "one epoch of 35 images in batches of 8"

    refused = subprocess.run(
        command(root, tiny, phantom, tmp_path), cwd=root, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "add --resume True" in refused.stderr
    assert "Traceback" not in refused.stderr.rsplit("Error: ", 1)[1]

    resumed = subprocess.run(
        command(root, tiny, phantom, tmp_path, "--resume=True"), cwd=root, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    whole, parts = (torch.load(out / "model" / "last.pt", weights_only=True) for out in (trained, tmp_path))
    assert whole["trainer"]["iteration"] == parts["trainer"]["iteration"] == 8
    assert whole["evaluator"]["best_metric"] == parts["evaluator"]["best_metric"]
    for name, value in whole["network"].items():
        assert torch.equal(value, parts["network"][name]), name
    for ours, theirs in zip(whole["optimizer"]["state"].values(), parts["optimizer"]["state"].values(), strict=True):
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])
    best = [json.loads((out / "model" / "model.json").read_text())["selected"] for out in (trained, tmp_path)]
    assert best[0] == best[1]


def test_a_file_that_breaks_after_the_check_names_itself_in_mid_epoch(start, phantom, tmp_path):
    """The header is fine when the rows are checked; the pixels are not when their turn comes."""
    data = tmp_path / "data"
    (data / "dicom").mkdir(parents=True)
    (data / "annotations.csv").write_text((phantom / "annotations.csv").read_text())
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    victim = table[(table["split"] == "train") & (table["frame"] == "-1")].iloc[0]["SOPInstanceUID"]
    for path in (phantom / "dicom").glob("*.dcm"):
        content = path.read_bytes()
        (data / "dicom" / path.name).write_bytes(content[:-2000] if path.stem == victim else content)
    with pytest.raises(RuntimeError) as caught:
        start(tmp_path, dataset_dir=str(data), cache_rate=0.0).run()
    message = str(find_user_error(caught.value))
    assert f"{victim}.dcm" in message
    assert "; " in message, "cause and remedy"
    assert not (tmp_path / "model" / "model.pt").exists()


def test_wrong_labels_end_a_training_before_it_starts(start, phantom, tmp_path):
    labels = tmp_path / "annotations.csv"
    labels.write_text((phantom / "annotations.csv").read_text().replace("Spine", "Spime"))
    with pytest.raises(RuntimeError) as caught:
        start(tmp_path, annotations=str(labels)).run()
    found = find_user_error(caught.value)
    assert isinstance(found, InputError)
    assert all("Spime" in problem for problem in found.problems)
    assert not (tmp_path / "model").exists()


def refusal(start, trained, out, **changes):
    """What evaluating the trained model says, under a configuration that differs from its own."""
    flow = start(trained, "evaluate.yaml", run_id="evaluating", output_dir=str(out), **changes)
    with pytest.raises(RuntimeError) as caught:
        flow.run()
    return str(find_user_error(caught.value))


def test_a_model_of_other_classes_is_refused(start, trained, tmp_path):
    said = refusal(start, trained, tmp_path, class_names=["a", "b"])
    assert "the model knows 16 classes" in said


def test_a_model_of_other_preprocessing_is_refused(start, trained, tmp_path):
    """Calibration fitted on views that `Predictor` never shows the network would be worth nothing."""
    said = refusal(start, trained, tmp_path, banner_fraction=0.3)
    assert "trained with MaskBannerd(fraction=0.0798), the configuration says 0.3" in said
    assert not list(tmp_path.glob("*.json"))


def test_a_model_that_averages_other_mirror_images_is_refused(start, trained, tmp_path):
    """The same weights, other probabilities: what is fitted to them would not fit `Predictor`'s."""
    said = refusal(start, trained, tmp_path, **{"network_def#average_flips": 0.75})
    assert "the model has average_flips 0, the configuration 0.75; add --average_flips 0," in said
    assert not list(tmp_path.glob("*.json"))


def test_a_record_from_before_an_argument_existed_counts_with_its_default(trained, tmp_path):
    network, preprocessing, facts = load_model(trained / "model")
    shutil.copytree(trained / "model", tmp_path / "old")
    record = json.loads((tmp_path / "old/model.json").read_text())
    del record["preprocessing"][0]["antialias"]
    (tmp_path / "old/model.json").write_text(json.dumps(record))
    load_weights(network, tmp_path / "old", facts.class_names, preprocessing)
    del record["preprocessing"][0]["only_shrink"]  # it stood for False then
    (tmp_path / "old/model.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"ResizeFramed\(only_shrink=False\), the configuration says True"):
        load_weights(network, tmp_path / "old", facts.class_names, preprocessing)
    other = Compose(preprocessing.transforms[:-1])
    with pytest.raises(InputError, match="the configuration has ResizeFramed, MaskBannerd;"):
        load_weights(network, trained / "model", facts.class_names, other)


@pytest.mark.parametrize("damage", ["missing", "truncated", "pickle"])
def test_a_damaged_model_folder_says_so(trained, tmp_path, damage):
    for name in ("model.pt", "model.json"):
        (tmp_path / name).write_bytes((trained / "model" / name).read_bytes())
    weights = tmp_path / "model.pt"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        torch.save({"harm": os.system}, weights)
    with pytest.raises(FetalMonaiError, match=r"model\.pt"):
        load_model(tmp_path)


@pytest.mark.slow
def test_early_stopping_and_a_schedule_survive_a_resume(start, tmp_path):
    options = {"early_stopping": True, "patience": 50, "max_epochs": 3, "num_workers": 1}
    schedule = {"_target_": "torch.optim.lr_scheduler.StepLR", "optimizer": "@optimizer", "step_size": 1, "gamma": 0.5}
    start(tmp_path / "whole", **options, lr_scheduler=schedule).run()
    start(tmp_path / "parts", **{**options, "max_epochs": 1}, lr_scheduler=schedule).run()
    start(tmp_path / "parts", **options, lr_scheduler=schedule, resume=True).run()
    states = [torch.load(tmp_path / part / "model" / "last.pt", weights_only=True) for part in ("whole", "parts")]
    assert states[0]["lr_scheduler"] == states[1]["lr_scheduler"]
    for name, value in states[0]["network"].items():
        assert torch.equal(value, states[1]["network"][name]), name


def test_the_last_epoch_is_validated_and_kept_whatever_the_interval(start, tmp_path):
    start(tmp_path, max_epochs=3, val_interval=2, keep="last", **{"train#trainer#epoch_length": 1}).run()
    facts = json.loads((tmp_path / "model/model.json").read_text())
    assert facts["selected"]["epoch"] == 3


@pytest.mark.slow
def test_the_default_network_trains_and_validates_on_a_cpu(root, phantom, tmp_path):
    """EfficientNet-B0 at 224 and B6 at 528, two iterations each, from DICOM."""
    done = subprocess.run(
        [
            *[sys.executable, "-m", "monai.bundle", "run", "training"],
            f"--config_file={root / 'bundle/configs/train.yaml'}",
            *[f"--{name}={value}" for name, value in folders(tmp_path).items()],
            *[f"--dataset_dir={phantom}", "--max_epochs=1", "--batch_size=2", "--num_workers=0"],
            *["--train#trainer#epoch_length=2", "--validate#evaluator#epoch_length=2"],
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "model" / "model.pt").stat().st_size > 170e6, "44.8 million parameters of four bytes"
