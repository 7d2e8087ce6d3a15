import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.metrics import Predictions


@pytest.fixture
def two(splits, tmp_path):
    """The same images by a model that takes every third for another class, and by the model as it is."""
    b = splits[0]
    worse = b.probabilities.copy()
    worse[::3] = np.roll(worse[::3], 1, axis=1)
    for name, table in (("a", b.with_probabilities(worse)), ("b", b)):
        (tmp_path / name).mkdir()
        table.write_csv(tmp_path / name / "predictions.csv")
    return tmp_path


def test_prints_what_changed_and_writes_json(two):
    result = CliRunner().invoke(app, ["compare", str(two / "a"), str(two / "b"), "--out", str(two / "c.json")])
    assert result.exit_code == 0, result.output
    a, b = (Predictions.read_csv(two / name / "predictions.csv") for name in "ab")
    right = [table.predicted == table.labels for table in (a, b)]
    assert f"in B alone: {(right[1] & ~right[0]).sum()}" in " ".join(result.output.split())
    assert "Macro F1" in result.output
    found = json.loads((two / "c.json").read_text())
    assert found["difference"]["accuracy"]["value"] == pytest.approx(right[1].mean() - right[0].mean())
    assert found["difference"]["accuracy"]["low"] > 0
    assert found["difference"]["ece"]["low"] is None
    common = found["difference"]["macro_f1_of_classes_with_10_images"]
    assert 0 < common["low"] < common["value"] < common["high"]
    assert "Macro F1, classes of 10+ images" in result.output, "on one line of 80 columns"


def test_a_mistake_is_one_sentence_and_leaves_no_file(two):
    result = CliRunner().invoke(app, ["compare", str(two / "a"), str(two / "none"), "--out", str(two / "c.json")])
    assert result.exit_code == 1
    assert "there is no such evaluation" in result.output
    assert not (two / "c.json").exists()
