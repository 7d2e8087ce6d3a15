"""The model that comes with the package, by a stand-in: who takes it where none is named, and what they say."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from typer.testing import CliRunner

from fetal_monai.apps.deploy import __main__ as deploy
from fetal_monai.apps.label.server import default_workspace
from fetal_monai.cli import app
from fetal_monai.data import load_datalists
from fetal_monai.errors import InputError, find_user_error
from fetal_monai.inference import Predictor
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.model.facts import read_facts
from fetal_monai.model.folder import load_model, load_weights
from fetal_monai.model.released_model import released_notice
from probabilities import rows


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_predictor_takes_it_and_says_so_in_one_line(released, stills, caplog):
    with caplog.at_level(logging.INFO):
        named = Predictor(released, device="cpu")
    assert not caplog.records
    unnamed = Predictor(device="cpu")
    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    for text in ("fetal_planes 0.9", "8 classes", *unnamed.class_names, "not a medical device"):
        assert text in line
    assert unnamed.identity == named.identity
    np.testing.assert_array_equal(rows(unnamed.predict(stills[:2])), rows(named.predict(stills[:2])))


def test_predict_takes_it_and_keeps_stdout_for_the_results(released, stills, tmp_path):
    done = CliRunner().invoke(app, ["predict", stills[0], "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == released_notice()
    assert "Model:" not in done.stdout
    assert done.stderr.count("not a medical device") == 1
    table = Predictions.read_csv(tmp_path / "out/predictions.csv")
    np.testing.assert_allclose(
        table.probabilities, rows(Predictor(released, device="cpu").predict(stills[0])), atol=1e-6
    )


@pytest.mark.parametrize("command", ["predict", "label"])
def test_help_says_so_without_torch(command):
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from fetal_monai.cli import app\n"
        f"print(CliRunner().invoke(app, ['{command}', '--help']).stdout)\n"
        "sys.exit(', '.join({'torch', 'monai', 'pandas', 'pydicom', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    plain = " ".join(done.stdout.replace("│", " ").split())
    assert "by default the one that comes with fetal_monai" in plain


class App:
    """In the place of the application that needs the SDK."""

    def __init__(self, *, output_folder, predictor, **_):
        self.out, self.predictor = output_folder, predictor

    def run(self):
        (self.out / "structured_reports").mkdir()
        facts = {"images": [self.predictor.identity.weights_sha256], "failures": []}
        (self.out / "predictions.json").write_text(json.dumps(facts))


def test_deploy_takes_it_where_no_model_is_named(released, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", "")
    monkeypatch.setattr(deploy, "prepare_runtime", lambda _: None)
    monkeypatch.setitem(sys.modules, "fetal_monai.apps.deploy.app", type(sys)("stub"))
    monkeypatch.setattr(sys.modules["fetal_monai.apps.deploy.app"], "FetalPlanesApp", App, raising=False)
    (tmp_path / "in").mkdir()
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert deploy.main(arguments) == 0
    assert capsys.readouterr().err == f"{released_notice()}\n"
    (used,) = json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    assert used == read_facts(released).release["files"]["model.pt"]["sha256"]
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", tmp_path / "nowhere")
    assert deploy.main([*arguments[:3], str(tmp_path / "other")]) == 1
    assert "no model comes with this installation" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", str(tmp_path / "empty"))
    assert deploy.main([*arguments[:3], str(tmp_path / "other")]) == 1, "a model that is named but is not there"
    assert "a model folder holds model.pt and model.json" in capsys.readouterr().err


def test_label_takes_it_and_works_in_a_folder_of_the_user(released, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("fetal_monai.apps.label.server.serve", lambda *given, **_: calls.append(given))
    done = CliRunner().invoke(app, ["label", "--studies", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert calls == [(str(tmp_path), released)]
    assert done.stderr == f"{released_notice()}\n"
    assert default_workspace(released) == Path("fetal_planes-label")
    assert default_workspace(tmp_path / "mine") == tmp_path / "mine-label"


def test_other_classes_are_told_with_those_it_has(released, class_names):
    network, _, facts = load_model(released)
    with pytest.raises(InputError) as caught:
        load_weights(network, released, class_names)
    for text in (
        "8 classes",
        *facts.class_names,
        "16 others",
        *class_names,
        "train a model of your own",
        "Your own data",
    ):
        assert text in str(caught.value)


def flow(root, released, phantom, out, *overlays):
    return ConfigWorkflow(
        config_file=[str(root / "bundle/configs/train.yaml"), *overlays, str(root / "bundle/configs/evaluate.yaml")],
        workflow_type="train",
        run_id="evaluating",
        logging_file=False,
        bundle_root=str(root / "bundle"),
        dataset_dir=str(phantom),
        ckpt_dir=str(released),
        output_dir=str(out),
        num_workers=0,
        device=torch.device("cpu"),
    )


def test_evaluating_it_on_other_classes_is_one_message(root, released, phantom, tmp_path):
    evaluation = flow(root, released, phantom, tmp_path / "eval")
    evaluation.initialize()
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps it, and the console takes it out again
        evaluation.run()
    found = find_user_error(caught.value)
    for text in ("the model knows 8 classes (Abdomen, Femur", "16 others (Femur, Head (PPP, Tectum)", "Your own data"):
        assert text in str(found)
    assert not (tmp_path / "eval").exists()


def test_annotations_of_other_classes_are_told_with_those_it_has(phantom, released):
    planes = read_facts(released).class_names
    with pytest.raises(InputError) as caught:
        load_datalists(phantom / "annotations.csv", phantom, planes)
    for text in ("class 'Stomach' is not in the list of classes (Abdomen, Femur", "train a model of your own"):
        assert text in str(caught.value)


@pytest.mark.thorough
def test_evaluating_it_leaves_it_as_it_is(root, released, phantom, tmp_path):
    facts = read_facts(released)
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    table["class"] = table["class"].where(table["class"].isin(facts.class_names), "Other")
    table["class_int"] = table["class"].map(facts.class_names.index)
    table.to_csv(tmp_path / "annotations.csv", index=False)
    load = {"_target_": "LoadImaged", "keys": "image", "reader": {"_target_": "fetal_monai.dicom.UltrasoundReader"}}
    config = {
        "class_names": facts.class_names,
        "network_def": facts.network,
        "preprocessing": [{**load, "dtype": "$np.uint8", "expanduser": False}, *facts.preprocessing[:-1]],
        "views": facts.preprocessing[-1:],
        "annotations": str(tmp_path / "annotations.csv"),
        "batch_size": 8,
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    before = content(released)
    evaluation = flow(root, released, phantom, tmp_path / "eval", str(tmp_path / "small.yaml"))
    evaluation.initialize()
    evaluation.run()
    assert (tmp_path / "eval/metrics.json").exists()
    assert content(released) == before
