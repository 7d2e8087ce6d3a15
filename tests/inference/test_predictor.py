"""The predictor: evaluation's numbers, whatever the batch and the kind of input; nothing bad stops the rest."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow
from scipy.special import softmax

from fetal_monai.dicom import FrameRef, index_dicom, iter_frames, read_frame
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference import Prediction, Predictor, ReadFailure
from fetal_monai.metrics.conformal import ConformalSets
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.metrics.selective import Abstention
from fetal_monai.model.calibration import Calibration
from fetal_monai.model.decisions import Decisions, read_decisions

CLOSE = 1e-5


@pytest.fixture(scope="module")
def predictor(model_dir):
    return Predictor(model_dir, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def stills(phantom):
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1]


@pytest.fixture(scope="module")
def clip(phantom):
    return next(entry for entry in index_dicom(phantom).values() if entry.frames > 1)


def rows(found):
    return np.stack([item.probabilities for item in found])


def test_gives_the_numbers_of_evaluation(root, model_dir, model_overlay, phantom, tmp_path, class_names):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    configs = [root / "bundle/configs/train.yaml", model_overlay, root / "bundle/configs/evaluate.yaml"]
    flow = ConfigWorkflow(
        config_file=[str(path) for path in configs],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(root / "bundle"),
        dataset_dir=str(phantom),
        ckpt_dir=str(folder),
        output_dir=str(tmp_path / "eval"),
    )
    flow.run_id = "evaluating"
    flow.initialize()
    flow.run()
    flow.finalize()
    files = index_dicom(phantom)
    for model, name in ((folder, "predictions"), (model_dir, "predictions_uncalibrated")):
        table = pd.read_csv(tmp_path / f"eval/{name}.csv", dtype={"SOPInstanceUID": str})
        keys = list(zip(table.SOPInstanceUID, table.frame, strict=True))
        predictor = Predictor(model, device="cpu", batch_size=3)
        assert (predictor.decisions.calibration is not None) == (model == folder)
        found = list(predictor.predict(FrameRef(files[uid].path, frame) for uid, frame in keys))
        assert np.abs(rows(found) - table[class_names].to_numpy()).max() < CLOSE
        assert [item.top for item in found] == table.prediction.tolist()
        assert [(item.sop_instance_uid, item.frame) for item in found] == keys
    assert rows(found).std(axis=0).max() > 0.05, "the images must not all look the same to this model"


def test_a_batch_equals_its_images_one_by_one(predictor, model_dir, stills):
    one = Predictor(model_dir, device="cpu", batch_size=1, workers=1)
    together = rows(predictor.predict(stills[:9]))
    alone = np.concatenate([rows(one.predict(path)) for path in stills[:9]])
    assert np.abs(together - alone).max() < CLOSE
    assert np.abs(rows(predictor.predict(reversed(stills[:9])))[::-1] - together).max() < CLOSE


def test_probabilities_are_those_of_the_network(predictor, stills):
    views = predictor.preprocessing({"image": torch.from_numpy(read_frame(stills[0]))})
    with torch.inference_mode():
        logits = predictor.network(views["image"][None], views["image_shallow"][None]).double().numpy()
    (found,) = predictor.predict(stills[0])
    assert np.abs(found.probabilities - softmax(logits[0])).max() < CLOSE
    assert found.probabilities.dtype == np.float64
    assert found.label == found.top == predictor.class_names[logits.argmax()]


def test_the_path_of_a_clip_is_all_its_frames(predictor, clip):
    found = list(predictor.predict(clip.path))
    assert [item.frame for item in found] == list(range(clip.frames))
    assert {item.sop_instance_uid for item in found} == {clip.sop_instance_uid}
    frames = [FrameRef(clip.path, index) for index in range(clip.frames)]
    assert np.abs(rows(found) - rows(predictor.predict(frames))).max() < CLOSE
    assert np.abs(rows(found) - rows(predictor.predict(iter_frames(clip.path)))).max() < CLOSE
    (last,) = predictor.predict(FrameRef(clip.path, clip.frames - 1))
    assert last.frame == clip.frames - 1
    assert np.abs(last.probabilities - found[-1].probabilities).max() < CLOSE


def test_arrays_tensors_and_pictures_are_the_frame_that_they_show(predictor, stills, tmp_path):
    pixels = read_frame(stills[0])
    channels_last = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    cv2.imwrite(str(tmp_path / "frame.png"), channels_last[..., ::-1])
    grey = cv2.cvtColor(channels_last, cv2.COLOR_RGB2GRAY)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "frame.jpg"), channels_last[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    jpeg = cv2.imread(str(tmp_path / "frame.jpg"))[..., ::-1]
    inputs = [
        pixels, channels_last, torch.from_numpy(pixels),
        tmp_path / "frame.png", str(tmp_path / "frame.png"), tmp_path / "grey.png", np.stack([grey] * 3),
        tmp_path / "frame.jpg", jpeg, FrameRef(str(tmp_path / "frame.png")),
    ]  # fmt: skip
    found = list(predictor.predict(inputs))
    (dicom,) = predictor.predict(stills[0])
    for item in (*found[:5], found[9]):
        assert np.abs(item.probabilities - dicom.probabilities).max() < CLOSE
    assert np.abs(found[5].probabilities - found[6].probabilities).max() < CLOSE
    assert np.abs(found[7].probabilities - found[8].probabilities).max() < CLOSE
    assert [item.source for item in found[:3]] == ["array 1", "array 2", "array 3"]
    assert all(item.sop_instance_uid is None and item.frame == -1 for item in found)
    red = np.zeros((3, 60, 80), np.uint8)
    red[0] = 255
    (of_red,), (of_blue,) = predictor.predict(red), predictor.predict(red[::-1])
    assert np.abs(of_red.probabilities - of_blue.probabilities).max() > 1e-3, "colours must matter to this model"
    cv2.imwrite(str(tmp_path / "red.png"), np.full((60, 80, 3), (0, 0, 255), np.uint8))  # OpenCV writes BGR
    (picture,) = predictor.predict(tmp_path / "red.png")
    assert np.abs(picture.probabilities - of_red.probabilities).max() < CLOSE


def test_one_bad_input_never_stops_the_rest(predictor, stills, clip, tmp_path):
    whole = Path(stills[0]).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    cv2.imwrite(str(tmp_path / "whole.png"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    bad = [
        tmp_path / "cut.dcm", tmp_path / "empty.dcm", tmp_path / "notes.txt", tmp_path / "missing.dcm", tmp_path,
        tmp_path / "cut.png", FrameRef(clip.path, 999), FrameRef(clip.path), FrameRef(str(tmp_path / "whole.png"), 3),
        np.zeros((3, 60, 80), np.float32), np.zeros((60, 80), np.uint8), np.zeros((3, 0, 5), np.uint8),
    ]  # fmt: skip
    mixed = [item for pair in itertools.zip_longest(bad, stills[: len(bad)]) for item in pair]
    found = list(predictor.predict(mixed))
    assert [type(item) for item in found] == [ReadFailure, Prediction] * len(bad)
    alone = rows(predictor.predict(stills[: len(bad)]))
    assert np.abs(rows(found[1::2]) - alone).max() < CLOSE
    for item, failure in zip(bad, found[::2], strict=True):
        name = failure.source if isinstance(item, np.ndarray) else getattr(item, "path", str(item))
        assert name in failure.message
        assert failure.message.count(name) == 1
        assert ";" in failure.message, "it must say what to do"
    assert "Traceback" not in "".join(failure.message for failure in found[::2])
    with pytest.raises(TypeError, match="FrameRef"):
        list(predictor.predict([3]))


def test_inputs_are_taken_as_they_are_needed(predictor):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.full((3, 60, 80), taken % 256, np.uint8)

    stream = predictor.predict(endless())
    first = list(itertools.islice(stream, 5))
    stream.close()
    assert [item.source for item in first] == [f"array {k}" for k in range(1, 6)]
    assert taken <= 5 + 4 * predictor.batch_size


def test_nothing_gives_nothing(predictor):
    assert list(predictor.predict([])) == []


def test_the_identity_is_that_of_the_files(predictor, model_dir, new_model, class_names, tmp_path):
    identity = predictor.identity
    assert identity.weights_sha256 == hashlib.sha256((model_dir / "model.pt").read_bytes()).hexdigest()
    assert identity.version.endswith(identity.weights_sha256[:12])
    other = Predictor(new_model(tmp_path / "other", class_names, seed=1), device="cpu").identity
    assert other.preprocessing_sha256 == identity.preprocessing_sha256
    assert other.weights_sha256 != identity.weights_sha256
    facts = json.loads((tmp_path / "other/model.json").read_text())
    facts["preprocessing"][1]["fraction"] = 0.5
    (tmp_path / "other/model.json").write_text(json.dumps(facts))
    assert Predictor(tmp_path / "other").identity.preprocessing_sha256 != identity.preprocessing_sha256


def features_of(predictor, paths):
    views = [predictor.preprocessing({"image": torch.from_numpy(read_frame(path))}) for path in paths]
    stacked = [torch.stack([torch.as_tensor(view[name]) for view in views]) for name in ("image", "image_shallow")]
    with torch.inference_mode():
        return predictor.network.forward_features(*stacked).double().numpy()


def test_what_the_model_folder_promises_is_kept(predictor, model_dir, stills, class_names, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    names, raw = tuple(class_names), rows(predictor.predict(stills))
    calibration = Calibration("temperature", names, (0.5,) * 16, (0.0,) * 16)
    scaled = softmax(np.log(raw) * 0.5, axis=1)
    limit = float(np.median(scaled.max(axis=1)))
    thresholds = (*np.linspace(0.2, 0.95, 15).tolist(), np.inf)
    conformal = ConformalSets(0.9, names, thresholds, ("own",) * 16, (9,) * 16)
    features = features_of(predictor, stills)
    ood = Mahalanobis.fit(features, np.arange(len(stills)) % 2, components=4)
    decisions = Decisions(calibration, Abstention(0.1, 0.9, limit, 0.5, 0.08), conformal, ood, 1.0)
    decisions.write(folder, predictor.identity.weights_sha256)

    found = list(Predictor(folder, device="cpu").predict(stills))
    assert np.abs(rows(found) - scaled).max() < CLOSE
    abstaining = [item for item in found if item.label is None]
    assert 0 < len(abstaining) < len(found)
    for item in found:
        assert (item.label is None) == (item.confidence < limit)
        assert item.label in (None, item.top)
    alone = 1 - rows(found) <= np.array(thresholds)
    assert not alone[np.arange(len(found)), rows(found).argmax(axis=1)].all(), "thresholds must leave out some label"
    for item, admitted in zip(found, alone, strict=True):
        assert set(item.conformal_set) == {item.top} | {name for name, ok in zip(names, admitted, strict=True) if ok}
        assert item.conformal_set[0] == item.top, "the most probable class comes first, with a label and without"
        assert names[-1] in item.conformal_set
    scores = Mahalanobis.load(folder / "ood.npz").score(features)
    np.testing.assert_allclose([item.ood_score for item in found], scores, rtol=1e-3)
    assert [item.out_of_distribution for item in found] == [item.ood_score > 1.0 for item in found]
    assert json.loads(json.dumps(found[0].to_dict(), allow_nan=False))["label"] == found[0].label


def test_parts_of_another_model_are_refused(model_dir, new_model, class_names, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    Decisions(abstention=Abstention(0.1, 0.9, 0.5, 0.5, 0.08)).write(folder, "0" * 64)
    with pytest.raises(InputError, match="other weights"):
        Predictor(folder)
    (folder / "decisions.json").write_text("{}")
    with pytest.raises(InputError, match=r"decisions\.json"):
        Predictor(folder)
    (folder / "decisions.json").unlink()
    Calibration("none", ("a", "b"), (1.0, 1.0), (0.0, 0.0)).write_json(folder / "calibration.json")
    with pytest.raises(InputError, match="other classes"):
        Predictor(folder)
    with pytest.raises(InputError, match=r"model\.json"):
        Predictor(tmp_path / "nowhere")
    (folder / "calibration.json").unlink()
    (folder / "model.pt").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"model\.pt"):
        Predictor(folder)


def test_writing_decisions_removes_what_no_longer_holds(tmp_path, class_names):
    names = tuple(class_names)
    calibration = Calibration("none", names, (1.0,) * 16, (0.0,) * 16)
    Decisions(calibration, ood_threshold=2.0).write(tmp_path, "ab")
    assert read_decisions(tmp_path, names, "ab").calibration == calibration
    Decisions().write(tmp_path, "cd")
    found = read_decisions(tmp_path, names, "cd")
    assert (found.calibration, found.abstention, found.conformal, found.ood, found.ood_threshold) == (None,) * 5
    assert found.least_confidence == 0


def test_a_model_that_gives_nan_says_so(model_dir, stills, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    state = torch.load(folder / "model.pt", weights_only=True)
    state["head.bias"][0] = float("nan")
    torch.save(state, folder / "model.pt")
    found = list(Predictor(folder, device="cpu").predict(stills[:2]))
    assert all(isinstance(item, ReadFailure) and "NaN" in item.message for item in found)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_one_message(model_dir, device):
    with pytest.raises(FetalMonaiError, match=f"device {device} cannot be used"):
        Predictor(model_dir, device=device)


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"workers": 0}])
def test_settings_must_be_positive(model_dir, setting):
    with pytest.raises(ValueError, match="1 or more"):
        Predictor(model_dir, **setting)


def test_two_threads_do_not_mix_what_they_see(evaluated_model, stills):
    """Features come by a hook on the head, which would see the other thread's images, too."""
    predictor = Predictor(evaluated_model, device="cpu")
    alone = [[found.ood_score for found in predictor.predict(part)] for part in (stills[:3], stills[3:7])]
    meeting = threading.Barrier(2)

    def meet(*_):  # both threads have their hook on the head, if they can
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(timeout=0.5)

    handle = predictor.network.register_forward_pre_hook(meet)
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda part: list(predictor.predict(part)), (stills[:3], stills[3:7]))
        together = [[found.ood_score for found in part] for part in parts]
    handle.remove()
    for scores, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
