import base64
import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from monai.transforms import Compose, LoadImaged

from fetal_monai.data import list_frames
from fetal_monai.dicom import UltrasoundReader
from fetal_monai.inference import Predictor
from fetal_monai.metrics import Predictions
from fetal_monai.model.description import describe_model, fingerprint
from fetal_monai.model.facts import read_facts, write_facts
from fetal_monai.networks import DualBranchClassifier, ResNetBackbone
from fetal_monai.report import gallery
from fetal_monai.report.evaluation import evaluate
from fetal_monai.report.explain import BranchExplainer, overlay
from fetal_monai.report.gallery import explain_errors
from fetal_monai.report.html import write_report
from fetal_monai.report.model_card import model_card
from fetal_monai.report.pictures import data_uri, read_frame, thumbnail
from fetal_monai.transforms import CropToRegiond, DualResolutiond, MaskBannerd

VIEWS = DualResolutiond("image", detailed_size=(48, 64), shallow_size=(32, 32))


@pytest.fixture
def new_model(class_names):
    """Write a model folder with random weights: (folder, transforms) -> folder."""

    def make(folder, transforms):
        torch.manual_seed(0)
        network = DualBranchClassifier(16, ResNetBackbone(18), ResNetBackbone(18), shallow_size=(32, 32))
        network.head.weight.data.abs_()  # every feature speaks for every class, so that no map is empty
        items = [{"SOPInstanceUID": "1", "frame": -1, "class": "Femur", "patient_id": "A"}]
        facts = describe_model(network, Compose(transforms), class_names, {"train": items})
        torch.save(network.state_dict(), folder / "model.pt")
        write_facts(folder, facts)
        assert facts.data == fingerprint({"train": items})
        return folder

    return make


@pytest.fixture
def model_dir(new_model, tmp_path):
    return new_model(tmp_path, [VIEWS])


@pytest.fixture
def wrong(phantom, class_names):
    """Predictions of the phantom's test stills, one of them wrong."""
    rows = pd.read_csv(phantom / "annotations.csv", dtype={"patient_id": str}).query("split == 'test' and frame == -1")
    labels = rows["class"].map({name: index for index, name in enumerate(class_names)}).to_numpy()
    probabilities = np.full((len(rows), 16), 0.01)
    probabilities[np.arange(len(rows)), labels] = 0.85
    probabilities[0] = np.roll(probabilities[0], 1)
    return Predictions(
        class_names, rows["SOPInstanceUID"], rows["frame"], labels, probabilities, patient_ids=rows["patient_id"]
    )


def test_a_report_explains_the_error_with_both_branches_of_the_models_network(phantom, wrong, model_dir, tmp_path):
    frames = {(item["SOPInstanceUID"], item["frame"]): item["image"] for item in list_frames(phantom)}
    errors = explain_errors(wrong, frames, model_dir)
    assert [error.name for error in errors] == [str(wrong.sop_instance_uids[0])]
    assert set(errors[0].overlays) == {"shallow", "detailed"}
    assert errors[0].true == wrong.class_names[wrong.labels[0]] != errors[0].predicted
    assert len({errors[0].picture, *errors[0].overlays.values()}) == 3
    frame = read_frame(frames[wrong.keys[0]])
    assert frame.shape == (240, 320, 3)
    assert thumbnail(frame).shape == (195, 260, 3)

    found = evaluate(wrong, replicates=20)
    card = model_card(found, read_facts(model_dir))
    text = write_report(found, tmp_path / "report.html", frames=frames, errors=errors, model_card=card).read_text()
    assert "Grad-CAM of the detailed branch" in text
    assert "DualBranchClassifier(num_classes=16, shallow=ResNetBackbone(depth=18" in text
    assert "1 images of 1 patients: Femur 1" in text
    assert len(re.findall("data:image/jpeg", text)) == 3 + len(wrong)


def decoded(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_what_is_explained_is_what_the_predictor_sees(phantom, wrong, new_model, tmp_path, monkeypatch):
    steps = [CropToRegiond("image", margin=2), MaskBannerd("image", fraction=0.1), VIEWS]
    folder = new_model(tmp_path, steps)
    frames = {(item["SOPInstanceUID"], item["frame"]): item["image"] for item in list_frames(phantom)}
    reference = frames[wrong.keys[0]]
    seen = []

    class Watched(BranchExplainer):
        def __call__(self, image, image_shallow, class_index):
            seen.append({"image": image[0].detach(), "image_shallow": image_shallow[0].detach()})
            maps = super().__call__(image, image_shallow, class_index)
            seen.append(maps)
            return maps

    monkeypatch.setattr(gallery, "BranchExplainer", Watched)
    (error,) = explain_errors(wrong, frames, folder)
    views, maps = seen
    ((_, expected),) = Predictor(folder, device="cpu")._prepared([reference], None)
    assert views.keys() == expected.keys()
    for name, view in views.items():
        torch.testing.assert_close(view, expected[name], rtol=0, atol=0)

    load = LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False)
    cropped = Compose([load, *steps[:2]])({"image": reference})["image"].numpy().transpose(1, 2, 0)
    assert cropped.shape[0] < 240
    assert cropped.shape[1] < 320
    assert error.picture == data_uri(thumbnail(cropped))
    for branch, uri in error.overlays.items():
        assert uri == data_uri(thumbnail(overlay(cropped, maps[branch])))
        assert decoded(uri).shape == decoded(error.picture).shape


def test_without_errors_or_frames_nothing_is_explained(wrong, model_dir):
    assert explain_errors(wrong.subset(range(1, len(wrong))), {}, model_dir) == []
    assert explain_errors(wrong, {}, model_dir) == []
    facts = dict(fact for section in model_card(evaluate(wrong, replicates=20)) for fact in section.facts)
    assert facts["Model folder"].startswith("not given")
