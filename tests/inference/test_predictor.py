"""The predictor: evaluation's numbers, whatever the batch and the kind of input; nothing bad stops the rest."""

from __future__ import annotations

import contextlib
import itertools
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
from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference import Prediction, Predictor, ReadFailure
from probabilities import rows

CLOSE = 1e-5


@pytest.fixture(scope="module")
def clip(phantom):
    return next(entry for entry in index_dicom(phantom).values() if entry.frames > 1)


@pytest.mark.thorough
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
    no_threads = Predictor(model_dir, device="cpu", batch_size=predictor.batch_size, workers=0)
    together = rows(predictor.predict(stills[:9]))
    alone = np.concatenate([rows(one.predict(path)) for path in stills[:9]])
    assert np.abs(together - alone).max() < CLOSE
    assert np.array_equal(together, rows(no_threads.predict(stills[:9])))
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


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_one_message(model_dir, device):
    with pytest.raises(FetalMonaiError, match=f"device {device} cannot be used"):
        Predictor(model_dir, device=device)


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"workers": -1}])
def test_settings_must_not_be_less_than_nothing(model_dir, setting):
    with pytest.raises(ValueError, match="0 or more"):
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
