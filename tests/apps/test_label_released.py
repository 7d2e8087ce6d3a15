"""Labelling that begins with the model of the package: it learns on, and the package stays as it is."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("monailabel")

from fetal_monai.apps.label.datastore import FINAL, UltrasoundDatastore
from fetal_monai.apps.label.image_sources import FolderSource
from fetal_monai.apps.label.train import PlaneTrainTask
from fetal_monai.apps.label.versions import ModelVersions
from fetal_monai.inference import Predictor
from fetal_monai.model.facts import read_facts


def test_the_released_model_learns_on_and_stays_as_it_is(released, label_studies, root, tmp_path):
    before = {path: path.read_bytes() for path in released.iterdir()}
    facts = read_facts(released)
    store = UltrasoundDatastore(FolderSource(label_studies.folder), tmp_path / "labels", tuple(facts.class_names))
    sent = tmp_path / "sent.json"
    for number, image in enumerate(label_studies.stills[:8]):
        sent.write_text(json.dumps({"labels": [{"frame": -1, "class": facts.class_names[number % 2]}]}))
        store.save_label(image, str(sent), FINAL, {})

    versions = ModelVersions(tmp_path / "workspace", released)
    PlaneTrainTask(versions, root / "bundle")({"max_epochs": 1, "batch_size": 4}, store)

    assert {path: path.read_bytes() for path in released.iterdir()} == before
    learnt = versions.folder(1)
    new = read_facts(learnt)
    assert (new.class_names, new.network, new.preprocessing) == (facts.class_names, facts.network, facts.preprocessing)
    assert new.release == {}, "a model of the user's own"
    dtypes = {value.dtype for value in torch.load(learnt / "model.pt", weights_only=True).values()}
    assert dtypes == {torch.float32, torch.int64}
    (found,) = Predictor(learnt, device="cpu").predict([str(label_studies.dicom[label_studies.stills[0]])])
    assert found.class_names == tuple(facts.class_names)
