"""A model is not judged on what it has learnt without a word, and nothing is fitted on that."""

import json
import logging
import shutil

import pytest
from monai.transforms import Compose
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data import load_datalists
from fetal_monai.errors import InputError
from fetal_monai.model import require_unseen
from fetal_monai.model.description import describe_model, fingerprint
from fetal_monai.model.learnt import has_learnt
from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier


@pytest.fixture(scope="module")
def lists(phantom, class_names):
    return load_datalists(phantom / "annotations.csv", phantom, class_names)


@pytest.fixture
def trained_on_all(model_dir, lists, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    facts["data"] = {**fingerprint(lists), "learnt": ["train", "val", "test"]}
    (folder / "model.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize(("trained_on", "learnt"), [(["train"], ["train"]), (["train", "test"], ["train", "test"])])
def test_a_model_records_the_splits_that_it_learns_from(lists, class_names, trained_on, learnt):
    network = SingleBranchClassifier(len(class_names), ResNetBackbone(18))
    items = [item for split in trained_on for item in lists[split]]
    facts = describe_model(network, Compose([]), class_names, lists, items)
    assert facts.data["learnt"] == learnt
    assert has_learnt(facts, lists["train"][::-1])
    assert has_learnt(facts, lists["test"]) is ("test" in learnt)
    assert not has_learnt(facts, lists["val"])
    assert not has_learnt(facts, lists["train"][1:])


def test_an_evaluation_fits_nothing_on_what_was_learnt(trained_on_all, lists, caplog):
    with pytest.raises(InputError, match="has learnt from the images of 'val'"):
        require_unseen(trained_on_all, lists, split="test", fit_split="val")
    others = {**lists, "val": lists["val"][1:]}
    with caplog.at_level(logging.WARNING):
        require_unseen(trained_on_all, others, split="test", fit_split="val")
    assert "has learnt from the images of 'test'" in caplog.text


def test_a_split_is_not_evaluated_and_fitted_on(model_dir, lists):
    with pytest.raises(InputError, match=r"images of 'val' cannot be both .* add --fit_split"):
        require_unseen(model_dir, lists, split="val", fit_split="val")


def test_a_model_that_records_nothing_is_believed(model_dir, lists, caplog):
    require_unseen(model_dir, lists, split="test", fit_split="val")
    assert not caplog.records


def test_an_audit_on_what_was_learnt_says_so(trained_on_all, model_dir, phantom):
    for folder, told in ((trained_on_all, True), (model_dir, False)):
        done = CliRunner().invoke(app, ["audit", str(phantom), "--model", str(folder)])
        assert ("has learnt from these images (test)" in done.stderr) is told
