"""What `evaluating` fits and writes is what the Predictor does, whatever recipe the model was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.inference import Predictor

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def averaged(start, tmp_path_factory) -> Path:
    """A model folder with an average of the weights."""
    out = tmp_path_factory.mktemp("averaged")
    start(out, "recipes/ema.yaml", max_epochs=1).run()
    return out


def test_an_averaged_model_is_evaluated_with_its_out_of_distribution_score(
    start, phantom, averaged, tmp_path, class_names
):
    shutil.copytree(averaged / "model", tmp_path / "model")
    start(tmp_path, "recipes/ema.yaml", "evaluate.yaml", run_id="evaluating").run()
    table = pd.read_csv(tmp_path / "eval/predictions.csv", dtype={"SOPInstanceUID": str})
    files = index_dicom(phantom)
    frames = [FrameRef(files[uid].path, frame) for uid, frame in zip(table.SOPInstanceUID, table.frame, strict=True)]
    found = list(Predictor(tmp_path / "model", device="cpu").predict(frames))
    np.testing.assert_allclose([item.probabilities for item in found], table[class_names], atol=1e-5)
    metrics = json.loads((tmp_path / "eval/metrics.json").read_text())
    assert all(item.ood_score > 0 for item in found)
    assert metrics["out_of_distribution"]["flagged"] == pytest.approx(np.mean([f.out_of_distribution for f in found]))
    report = (tmp_path / "eval/report.html").read_text()
    assert "Not shown" not in report
    assert report.count("data:image/jpeg") > 1


def test_without_training_images_there_is_no_score_and_a_word_about_it(start, phantom, averaged, tmp_path, capfd):
    labels = pd.read_csv(phantom / "annotations.csv", dtype=str)
    labels[labels["split"] != "train"].to_csv(tmp_path / "annotations.csv", index=False)
    shutil.copytree(averaged / "model", tmp_path / "model")
    csv = str(tmp_path / "annotations.csv")
    start(tmp_path, "evaluate.yaml", run_id="evaluating", annotations=csv).run()
    assert "the split train has no images: no out-of-distribution score is fitted" in capfd.readouterr().out
    assert (tmp_path / "model/decisions.json").exists()
    assert not (tmp_path / "model/ood.npz").exists()
    assert "out_of_distribution" not in json.loads((tmp_path / "eval/metrics.json").read_text())
