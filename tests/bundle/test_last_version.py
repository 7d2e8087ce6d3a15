"""What version 0.1.0 wrote, and configurations written for it, still work: it made what is in `version_0_1_0/`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.inference import Predictor
from fetal_monai.model import load_preprocessing
from fetal_monai.utils.serialization import rebuild

LAST = Path(__file__).parent / "version_0_1_0"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The model folder; its weights, too heavy for a checkout, are drawn anew for the network that it records."""
    folder = tmp_path_factory.mktemp("last") / "model"
    folder.mkdir()
    for name in ("model.json", "calibration.json"):
        shutil.copy(LAST / name, folder)
    network = rebuild(json.loads((LAST / "model.json").read_text())["network"])
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.2, 0.6)
    torch.save(network.state_dict(), folder / "model.pt")
    return folder


def test_the_predictor_loads_its_model_folder(model):
    predictor = Predictor(model, device="cpu")
    assert predictor.class_names == ("Femur", "Head (PPP, Tectum)", "Other")
    assert predictor.decisions.calibration.temperature == 2
    names = [type(step).__name__ for step in load_preprocessing(model).transforms]
    assert names == ["CropToRegiond", "MaskOutsideRegionsd", "ResizeFramed", "MaskBannerd", "DualResolutiond"]


def test_every_network_that_it_recorded_is_built():
    for record in json.loads((LAST / "networks.json").read_text()):
        with torch.device("meta"):
            assert rebuild(record).config == record


def test_its_inference_config_gives_the_predictors_numbers(model, workflow, phantom, tmp_path):
    files = sorted(index_dicom(phantom).values(), key=lambda entry: (entry.frames, entry.path))[:4]
    for entry in files:
        shutil.copy(entry.path, tmp_path)
    folders = {"dataset_dir": str(tmp_path), "ckpt_dir": str(model), "output_dir": str(tmp_path / "out")}
    flow = workflow("infer", str(LAST / "inference.yaml"), **folders)
    flow.initialize()
    flow.run()
    table = pd.read_csv(tmp_path / "out/predictions.csv", dtype={"SOPInstanceUID": str}).set_index("SOPInstanceUID")
    predictor = Predictor(model, device="cpu")
    for found in predictor.predict([FrameRef(entry.path) for entry in files]):
        expected = table.loc[found.sop_instance_uid, list(predictor.class_names)].to_numpy(dtype=float)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_its_configs_train_and_evaluate(workflow, phantom, tmp_path):
    folders = {"dataset_dir": str(phantom), "ckpt_dir": str(tmp_path / "model"), "output_dir": str(tmp_path / "eval")}
    for run_id, configs in (("training", ["train"]), ("evaluating", ["train", "evaluate"])):
        flow = workflow("train", *(str(LAST / f"{name}.yaml") for name in configs), **folders, max_epochs=1)
        flow.run_id = run_id
        flow.initialize()
        flow.run()
    assert (tmp_path / "eval/metrics.json").exists()
    assert (tmp_path / "model/ood.npz").exists()
