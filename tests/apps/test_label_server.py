"""The real MONAI Label server, started as a person starts it, on a folder and on a real archive (Orthanc)."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from sklearn.metrics import f1_score

from fetal_monai.data import load_datalists
from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Predictor
from fetal_monai.study.clip import analyse_clip

pytestmark = pytest.mark.thorough

pytest.importorskip("monailabel")
requests = pytest.importorskip("requests")
MODEL = "fetal_planes"
PATIENCE_S = 240


@pytest.fixture(scope="module")
def predictor(label_model) -> Predictor:
    return Predictor(label_model)


@pytest.fixture(scope="module", params=["folder", "orthanc"])
def server(request, label_server, label_model, label_studies, tmp_path_factory):
    """A server over the same images, once from a folder and once from an archive."""
    studies = label_studies.folder
    if request.param == "orthanc":
        studies = request.getfixturevalue("orthanc")(sorted(label_studies.folder.glob("*.dcm")))
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "tmp").mkdir()
    options = ("--studies", studies, "--model", label_model, "--workspace", workspace, "--port", "0")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("TMPDIR", str(workspace / "tmp"))
        running = stack.enter_context(label_server(*options))
        running.workspace = workspace
        running.remote = request.param == "orthanc"
        yield running


def put(server, image: str, content: object, tag: str = "final"):
    text = content if isinstance(content, str) else json.dumps(content)
    files = {"label": ("label.json", text, "application/json")}
    return requests.put(f"{server.url}/datastore/label", params={"image": image, "tag": tag}, files=files, timeout=60)


def infer(server, image: str, frame: object = -1):
    data = {"params": json.dumps({"frame": frame})}
    return requests.post(f"{server.url}/infer/{MODEL}", params={"image": image}, data=data, timeout=120)


def get(server, path: str, **params):
    answer = requests.get(f"{server.url}/{path}", params=params, timeout=60)
    assert answer.ok, server.explain(answer)
    return answer


def test_info_tells_classes_tasks_and_that_it_is_no_medical_device(server, class_names):
    info = get(server, "info/").json()
    assert info["labels"] == class_names
    assert info["models"][MODEL]["type"] == "classification"
    assert info["models"][MODEL]["labels"] == class_names
    assert set(info["trainers"]) == {MODEL}
    assert set(info["strategies"]) == {"key_frames", "entropy", "disagreement", "distance", "random"}
    assert "Not a medical device" in info["description"]


def test_the_datastore_holds_ultrasound_only(server, label_studies):
    status = get(server, "datastore/").json()
    expected = set(label_studies.dicom) | (set() if server.remote else {label_studies.picture})
    listed = get(server, "datastore/", output="all").json()
    assert set(listed["objects"]) == expected  # the CT beside them is not offered
    assert status["total"] == len(expected)


def test_infer_gives_the_predictors_probabilities(server, label_studies, predictor, class_names):
    chosen = [(uid, -1) for uid in label_studies.stills[:2]] + [(uid, 3) for uid in label_studies.clips[:1]]
    paths = {uid: str(label_studies.dicom[uid]) for uid, _ in chosen}
    if not server.remote:
        chosen.append((label_studies.picture, -1))
        paths[label_studies.picture] = str(label_studies.folder / label_studies.picture)
    for image, frame in chosen:
        answer = infer(server, image, frame)
        assert answer.ok, server.explain(answer)
        (expected,) = predictor.predict([FrameRef(paths[image], frame)])
        scores = answer.json()["prediction"]
        assert [score["label"] for score in scores] == class_names
        assert [score["idx"] for score in scores] == list(range(len(class_names)))
        np.testing.assert_allclose([score["score"] for score in scores], expected.probabilities, atol=1e-9)
        assert answer.json()["top"] == expected.top
        assert answer.json()["frame"] == frame
        assert answer.json()["sop_instance_uid"] == expected.sop_instance_uid


def test_infer_takes_a_file_that_is_sent(server, label_studies, predictor):
    path = label_studies.dicom[label_studies.stills[0]]
    files = {"file": ("image.dcm", path.read_bytes())}
    answer = requests.post(f"{server.url}/infer/{MODEL}", files=files, timeout=120)
    assert answer.ok, server.explain(answer)
    (expected,) = predictor.predict([path])
    assert answer.json()["confidence"] == pytest.approx(expected.confidence, abs=1e-9)
    files = {"file": ("image.dcm", b"no image")}
    assert requests.post(f"{server.url}/infer/{MODEL}", files=files, timeout=120).status_code == 422


def test_batch_inference_takes_every_image_and_the_middle_of_clips(server, label_studies, predictor):
    url = f"{server.url}/batch/infer/{MODEL}"
    answer = requests.post(url, params={"images": "all", "run_sync": True}, json={}, timeout=PATIENCE_S)
    assert answer.ok, server.explain(answer)
    assert set(answer.json()) >= set(label_studies.dicom)
    for clip in label_studies.clips:
        path = str(label_studies.dicom[clip])
        middle = (label_studies.frames(path) - 1) // 2
        (expected,) = predictor.predict([FrameRef(path, middle)])
        found = answer.json()[clip]["params"]
        assert found["frame"] == middle
        assert found["confidence"] == pytest.approx(expected.confidence, abs=1e-9)


def test_key_frames_of_clips_are_offered_first(server, label_studies, predictor):
    expected = {}
    for uid in label_studies.clips:
        path = str(label_studies.dicom[uid])
        segments = analyse_clip(path, predictor).segments
        told = get(server, "labelling/key_frames", image=uid).json()["key_frames"]
        assert [(key["plane"], key["frame"], key["first"], key["last"]) for key in told] == [
            (segment.plane, segment.key_frame.frame, segment.first, segment.last) for segment in segments
        ]
        assert [key["confidence"] for key in told] == pytest.approx([s.merit.confidence for s in segments], abs=4e-6)
        frames = [segment.key_frame.frame for segment in segments]
        expected[uid] = frames or [(label_studies.frames(path) - 1) // 2]
    assert get(server, "labelling/key_frames", image=label_studies.stills[0]).json()["key_frames"] == []

    for uid in sorted(expected, key=lambda uid: hashlib.sha256(uid.encode()).hexdigest()):
        for frame in expected[uid]:
            offered = requests.post(f"{server.url}/activelearning/key_frames", json={}, timeout=PATIENCE_S)
            assert offered.ok, server.explain(offered)
            assert (offered.json()["id"], offered.json()["frame"]) == (uid, frame)
    offered = requests.post(f"{server.url}/activelearning/key_frames", json={}, timeout=PATIENCE_S).json()
    assert offered["id"] not in expected  # all clips were seen: the stills follow
    assert offered["frame"] == -1


def test_mistakes_are_told_and_change_nothing(server, label_studies):
    still, clip = label_studies.stills[0], label_studies.clips[0]
    for answer, status, said in [
        (infer(server, still, 5), 422, "no frame 5"),
        (infer(server, clip, 10_000), 422, "no frame 10000"),
        (infer(server, clip), 422, "use a frame from 0"),
        (infer(server, clip, "first"), 422, "'first' is no number"),
        (requests.post(f"{server.url}/activelearning/entropy", json={"pool": "all"}, timeout=60), 422, "pool is 'all'"),
        (infer(server, "1.2.3"), 404, "no image '1.2.3'"),
        (requests.get(f"{server.url}/labelling/key_frames", params={"image": "1.2.3"}, timeout=60), 404, "no image"),
        (infer(server, "/etc/hostname"), 404, "no image"),
        (put(server, still, {"labels": [{"class": "Elbow"}]}), 422, "'Elbow' is not in the list"),
        (put(server, still, {"labels": [{"class": "Femur", "class_int": 3}]}), 422, "class_int 3 disagrees"),
        (put(server, clip, {"labels": [{"class": "Femur", "frame": 999}]}), 422, "no frame 999"),
        (put(server, still, {"labels": []}), 422, "no frame is labelled"),
        (put(server, still, "Femur"), 422, "not a label file"),
        (put(server, "../../x", {"labels": [{"class": "Femur"}]}), 404, "no image"),
        (put(server, still, {"labels": [{"class": "Femur"}]}, tag="../x"), 400, "a tag has letters"),
        (requests.delete(f"{server.url}/datastore/", params={"id": still}, timeout=60), 405, "never removed"),
        (requests.get(f"{server.url}/info/", headers={"Origin": "http://elsewhere.example"}, timeout=60), 403, "only"),
        (requests.get(f"{server.url}/info/", headers={"Host": "elsewhere.example"}, timeout=60), 403, "only"),
        (requests.get(f"{server.url}/labelling/frame", params={"image": clip, "frame": 999}, timeout=60), 422, "999"),
        (requests.post(f"{server.url}/train/{MODEL}?run_sync=true", json={}, timeout=60), 422, "at least two patients"),
        (requests.post(f"{server.url}/train/other?run_sync=true", json={}, timeout=60), 400, "no model 'other'"),
    ]:
        assert answer.status_code == status, server.explain(answer)
        assert said in answer.text, answer.text
    assert get(server, "datastore/").json()["completed"] == 0


def test_training_on_submitted_labels_keeps_the_better_model(server, label_studies, label_model, class_names, tmp_path):
    labelled = {uid: label_studies.truth(uid) for uid in [*label_studies.stills[:10], label_studies.clips[0]]}
    if not server.remote:
        labelled[label_studies.picture] = (-1, "Other")
    for image, (frame, name) in labelled.items():
        answer = put(server, image, {"labels": [{"frame": frame, "class": name}]})
        assert answer.ok, server.explain(answer)
    assert get(server, "datastore/").json()["completed"] == len(labelled)
    rows = get(server, "datastore/", output="train").json()
    assert {row["image"]: (row["frame"], row["class"]) for row in rows} == labelled
    assert all(row["label"] == class_names.index(row["class"]) for row in rows)

    csv = tmp_path / "annotations.csv"
    csv.write_text(get(server, "labelling/annotations.csv").text)
    lists = load_datalists(csv, label_studies.folder, class_names)  # checks classes, frames, patients and splits
    assert len(lists["train"]) + len(lists["val"]) == len(labelled)

    train(server, {"max_epochs": 1, "batch_size": 4})

    history = json.loads((server.workspace / "versions.json").read_text())["versions"]
    folder = server.workspace / "model/0001"
    truth = [row["class"] for row in rows if row["split"] == "val"]
    for model, key in ((label_model, "served_val_macro_f1"), (folder, "val_macro_f1")):
        guesses = [guess(model, label_studies, row) for row in rows if row["split"] == "val"]
        expected = f1_score(truth, guesses, labels=sorted(set(truth)), average="macro", zero_division=0)
        assert history[0][key] == pytest.approx(expected)
    # The first model was made to know nothing, so any other is as good at least, and must have replaced it.
    assert history[0]["served_val_macro_f1"] == 0
    assert history[0]["promoted"] is True
    facts = json.loads((folder / "model.json").read_text())
    assert facts["data"]["train"]["images"] == sum(row["split"] == "train" for row in rows)
    still = label_studies.stills[0]
    answer = infer(server, still).json()
    assert answer["version"] == 1
    (expected,) = Predictor(folder).predict([FrameRef(str(label_studies.dicom[still]))])
    np.testing.assert_allclose([s["score"] for s in answer["prediction"]], expected.probabilities, atol=1e-9)
    assert get(server, "info/").json()["train_stats"][MODEL]["served_version"] == 1


def train(server, options: dict) -> None:
    """Train in a process of its own; over the archive in the server's, which is the other way there is."""
    url = f"{server.url}/train/{MODEL}"
    started = requests.post(url, params={"run_sync": server.remote}, json=options, timeout=PATIENCE_S)
    assert started.ok, server.explain(started)
    if server.remote:
        return
    end = time.monotonic() + PATIENCE_S
    while (task := get(server, "train/").json())["status"] in {"SUBMITTED", "RUNNING"}:
        assert time.monotonic() < end, server.explain(started)
        time.sleep(0.5)
    assert task["status"] == "DONE", "\n".join(task["details"])


def guess(model: Path, studies, row: dict) -> str:
    path = studies.dicom.get(row["image"], studies.folder / row["image"])
    (found,) = Predictor(model).predict([FrameRef(str(path), row["frame"])])
    return found.top


def test_a_label_can_be_taken_back_and_read_again(server, label_studies):
    image = label_studies.stills[-1]
    assert put(server, image, {"labels": [{"class": "Femur"}]}).ok
    text = get(server, "datastore/label", label=image, tag="final").text
    assert json.loads(text)["labels"] == [{"frame": -1, "class": "Femur", "class_int": 0}]
    requests.delete(f"{server.url}/datastore/label", params={"id": image, "tag": "final"}, timeout=60)
    gone = requests.get(f"{server.url}/datastore/label", params={"label": image, "tag": "final"}, timeout=60)
    assert gone.status_code == 404
    assert image not in get(server, "labelling/annotations.csv").text


def test_labelled_images_can_be_taken_home(server, label_studies):
    with zipfile.ZipFile(io.BytesIO(get(server, "datastore/dataset", limit_cases=2).content)) as archive:
        names = archive.namelist()
        assert len(names) == 5
        rows = pd.read_csv(archive.open("annotations.csv"), dtype=str)
        for uid in set(rows["SOPInstanceUID"]) & set(label_studies.dicom):
            assert archive.read(f"image/{uid}.dcm")[128:132] == b"DICM"
            assert json.loads(archive.read(f"label/{uid}.json"))["labels"]
    with zipfile.ZipFile(io.BytesIO(get(server, "datastore/dataset").content)) as archive:
        pictures = pd.read_csv(archive.open("annotations.csv"), dtype=str)["file"].dropna()
        assert len(pictures) == (0 if server.remote else 1)
        assert all(archive.read(name).startswith(b"\x89PNG") for name in pictures)
    requests.get(f"{server.url}/datastore/dataset", stream=True, timeout=60).close()  # someone who hangs up
    assert not list((server.workspace / "tmp").glob("*.zip"))  # they hold patients' names
    for uid, path in label_studies.dicom.items():  # as they were stored: not transcoded on the way
        sent, stored = dcmread(io.BytesIO(get(server, "datastore/image", image=uid).content)), dcmread(path)
        assert sent.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID
        assert sent.PixelData == stored.PixelData


def test_a_full_disk_loses_no_label(server, label_studies, tmp_path):
    image, folder = label_studies.stills[-1], label_studies.folder / "labels"
    if server.remote:
        (folder,) = server.workspace.glob("dicomweb/*/labels")
    before = (folder / "annotations.csv").read_text()
    shutil.move(folder, tmp_path / "labels")
    folder.write_text("in the way, so that nothing can be written")
    try:
        answer = put(server, image, {"labels": [{"class": "Femur"}]})
    finally:
        folder.unlink()
        shutil.move(tmp_path / "labels", folder)
    assert answer.status_code == 507, server.explain(answer)
    assert "could not be written" in answer.json()["detail"]
    assert (folder / "annotations.csv").read_text() == before
    assert get(server, "datastore/label", label=label_studies.stills[0], tag="final").ok
