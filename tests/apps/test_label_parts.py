"""The parts of the label app: labels, splits, versions, sources, and what is said of mistakes."""

from __future__ import annotations

import io
import re
import shutil
import socket
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data import load_datalists
from fetal_monai.dicom import read_frame
from fetal_monai.errors import DicomReadError, FetalMonaiError, InputError
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import read_facts, write_facts
from fetal_monai.model.folder import load_preprocessing
from fetal_monai.networks import ResNetBackbone, SingleBranchClassifier

pytest.importorskip("monailabel")

from fastapi import HTTPException

from fetal_monai.apps.label.app import FetalPlanesApp
from fetal_monai.apps.label.image_sources import FolderSource, ImageFile
from fetal_monai.apps.label.labels import ImageLabels, choose_split, to_csv
from fetal_monai.apps.label.page import KEYS
from fetal_monai.apps.label.strategies.candidates import spread_frames
from fetal_monai.apps.label.train import OPTIONS, read_options, write_data
from fetal_monai.apps.label.versions import ModelVersions

CLASSES = ["Femur", "Other", "Spine"]


@given(st.lists(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), max_size=60))
def test_no_patient_is_ever_in_two_splits(patients):
    labelled: list[ImageLabels] = []
    for patient in patients:
        labelled.append(ImageLabels({-1: "Femur"}, choose_split(patient, labelled), patient))
    homes = {patient: {x.split for x in labelled if x.patient == patient} for patient in patients}
    assert all(len(splits) == 1 for splits in homes.values())
    in_val = sum(splits == {"val"} for splits in homes.values())
    assert in_val == (0 if len(homes) < 2 else max(1, len(homes) // 5))


@given(st.dictionaries(st.integers(0, 9), st.sampled_from(CLASSES), min_size=1))
def test_a_label_file_gives_back_what_was_labelled(frames):
    labels = ImageLabels(frames, "train", "P")
    text = labels.to_json(CLASSES)
    assert ImageLabels.from_json(text, "x", ImageFile("clip.dcm", 10, "P"), CLASSES) == labels
    table = pd.read_csv(io.StringIO(to_csv({"1.2": labels}, CLASSES)))
    assert dict(zip(table["frame"], table["class"], strict=True)) == frames
    assert (table["class_int"] == table["class"].map(CLASSES.index)).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"labels": [{"frame": 1, "class": "Femur"}, {"frame": 1, "class": "Spine"}]}', "labelled twice"),
        ('{"labels": [{"frame": 7, "class": "Elbow"}, {"frame": 10, "class": "Spine"}]}', "2 problems"),
        ('{"labels": [{"frame": -1, "class": "Spine"}]}', "a clip has many frames"),
        ('{"labels": "Femur"}', "not a label file"),
        ("[]", "not a label file"),
        ("\ufffd", "not a label file"),
    ],
)
def test_a_label_file_that_does_not_fit_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        ImageLabels.from_json(text, "x", ImageFile("clip.dcm", 10, ""), CLASSES)


@given(st.integers(1, 500))
def test_the_frames_that_stand_for_a_clip_exist_and_span_it(count):
    image = ImageFile("clip.dcm", count, "")
    frames = spread_frames(image)
    assert len(frames) == len(set(frames)) == min(count, 5)
    assert [image.reference(frame).frame for frame in frames] == frames
    assert (frames[0], frames[-1]) == ((-1, -1) if count == 1 else (0, count - 1))


def test_a_frame_out_of_range_is_named():
    with pytest.raises(DicomReadError, match=r"clip\.dcm: there is no frame 5: it has 5; use a frame from 0 to 4"):
        ImageFile("/secret/clip.dcm", 5, "").reference(5)


def test_every_class_has_a_key_that_no_command_uses(class_names):
    assert len(set(KEYS)) == len(KEYS) >= len(class_names)
    assert KEYS.isalnum()
    assert KEYS.lower() == KEYS


def test_what_make_label_installs_agrees_with_the_lock(root):
    def versions(path: Path) -> dict[str, str]:
        pairs = [line.split(";")[0].strip().split("==") for line in path.read_text().splitlines() if "==" in line]
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}

    lock = versions(root / "constraints.txt")
    ours = versions(root / "fetal_monai/apps/label/requirements.txt")
    assert "monailabel" in ours
    assert {name: lock[name] for name in ours.keys() & lock.keys()} == {
        name: ours[name] for name in ours.keys() & lock.keys()
    }


def test_pictures_are_trained_on_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    (tmp_path / "studies/p 1").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "studies/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    names = ["linked/b.jpeg", "p 1/a.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / "studies" / name), pixels)
    (tmp_path / "studies/c.png").write_bytes(b"not a picture")
    source = FolderSource(tmp_path / "studies")
    assert sorted(source.list_ids()) == names
    labels = {name: ImageLabels({-1: "Other"}, "train", "") for name in names}
    write_data(tmp_path / "data", labels, {name: source.fetch(name) for name in names}, CLASSES)
    (tmp_path / "exported.csv").write_text(to_csv(labels, CLASSES))
    for table, folder in (("data/annotations.csv", "data/images"), ("exported.csv", "studies")):
        items = load_datalists(tmp_path / table, tmp_path / folder, CLASSES, splits=())["train"]
        for item, name in zip(items, names, strict=True):
            np.testing.assert_array_equal(read_frame(item["image"]), read_frame(tmp_path / "studies" / name))


@pytest.fixture
def versions(label_model, tmp_path) -> ModelVersions:
    return ModelVersions(tmp_path / "workspace", label_model)


def finish(versions: ModelVersions, score: float, served: float) -> bool:
    number = versions.start()
    return versions.finish(number, score=score, served_score=served, train_images=2, val_images=1).promoted


def test_only_a_model_that_is_not_worse_is_served(versions, label_model):
    assert (versions.served(), versions.folder(0)) == (0, label_model)
    assert [finish(versions, 0.5, 0.4), finish(versions, 0.49, 0.5), finish(versions, 0.5, 0.5)] == [True, False, True]
    assert versions.served() == 3
    again = ModelVersions(versions.workspace, label_model)
    assert [version.number for version in again.history()] == [1, 2, 3]
    assert again.served() == 3


def test_a_killed_training_changes_nothing(versions):
    finish(versions, 0.5, 0.4)
    assert versions.start() == 2  # and then the power went
    assert versions.served() == 1
    assert versions.start() == 3


def test_a_workspace_belongs_to_one_model(versions, label_model, tmp_path):
    finish(versions, 1, 0)
    other = shutil.copytree(label_model, tmp_path / "other")
    with (other / "model.pt").open("ab") as file:
        file.write(b"0")
    with pytest.raises(InputError, match="began with another model"):
        ModelVersions(versions.workspace, other)
    (versions.workspace / "versions.json").write_text("{")
    with pytest.raises(InputError, match="not a history"):
        ModelVersions(versions.workspace, label_model)


def test_training_options_are_numbers():
    assert read_options({"max_epochs": "2", "model": "x", "device": "cpu"}) == {**OPTIONS, "max_epochs": 2}
    with pytest.raises(InputError, match="2 problems") as caught:
        read_options({"max_epochs": "many", "batch_size": 0})
    assert "max_epochs is 'many'" in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no image among 0 DICOM files"):
        FolderSource(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        FolderSource(tmp_path / "nowhere")


def make_app(model: Path, studies: Path, workspace: Path, root: Path) -> FetalPlanesApp:
    return FetalPlanesApp(str(workspace), str(studies), {"model": str(model), "bundle": str(root / "bundle")})


def test_without_monai_label_the_command_says_how_to_install_it(monkeypatch, label_model, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["label", "--studies", str(tmp_path), "--model", str(label_model)])
    assert result.exit_code == 1
    assert "MONAI Label is not installed; run `make label`" in result.output


def test_labels_of_other_classes_are_refused(label_model, label_studies, tmp_path, root):
    folder = label_studies.folder / "labels/final"
    folder.mkdir(parents=True)
    (folder / "1.2.json").write_text('{"labels": [{"frame": -1, "class": "Liver"}]}')
    try:
        with pytest.raises(InputError, match=r"1\.2\.json(.|\n)*class 'Liver' is not in the list"):
            make_app(label_model, label_studies.folder, tmp_path, root)
    finally:
        shutil.rmtree(folder.parent)


def test_an_incomplete_model_folder_is_refused(label_model, label_studies, tmp_path, root):
    for name in ("model.json", "model.pt"):
        broken = shutil.copytree(label_model, tmp_path / f"without {name}")
        (broken / name).unlink()
        with pytest.raises(FetalMonaiError, match="there is no such file"):
            make_app(broken, label_studies.folder, tmp_path, root)


def test_a_network_of_one_branch_is_not_asked_whether_branches_disagree(label_model, label_studies, tmp_path, root):
    names = list(read_facts(label_model).class_names)
    network = SingleBranchClassifier(len(names), ResNetBackbone(18))
    write_facts(tmp_path / "single", describe_model(network, load_preprocessing(label_model), names))
    torch.save(network.state_dict(), tmp_path / "single/model.pt")
    app = make_app(tmp_path / "single", label_studies.folder, tmp_path / "workspace", root)
    assert list(app.info()["strategies"]) == ["key_frames", "entropy", "distance", "random"]
    with pytest.raises(HTTPException, match=r"needs a network of two branches.*use one of key_frames, entropy, dist"):
        app.next_sample({"strategy": "disagreement"})


def test_a_taken_port_and_a_missing_bundle_are_told(label_model, root, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        base = ["label", "--studies", str(tmp_path), "--model", str(label_model)]
        result = CliRunner().invoke(app, [*base, "--bundle", str(root / "bundle"), "--port", port])
        assert result.exit_code == 1
        assert f"port {port}, cannot be used" in result.output
    result = CliRunner().invoke(app, [*base, "--bundle", str(tmp_path)])
    assert result.exit_code == 1
    assert "name the bundle's folder by --bundle" in result.output
