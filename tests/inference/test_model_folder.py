"""What a model folder says is what its predictor does; parts that do not belong together are refused."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from scipy.special import softmax

from fetal_monai.dicom import read_frame
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.metrics.conformal import ConformalSets
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.metrics.selective import Abstention
from fetal_monai.model.calibration import Calibration
from fetal_monai.model.decisions import Decisions, read_decisions
from probabilities import rows


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
    assert np.abs(rows(found) - scaled).max() < 1e-5
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


def test_thresholds_hold_with_the_parts_they_were_fitted_with(tmp_path, class_names):
    names, folder = tuple(class_names), tmp_path
    path = folder / "calibration.json"
    calibrations = [Calibration("temperature", names, (scale,) * 16, (0.0,) * 16) for scale in (0.5, 0.7)]
    Decisions(calibrations[0], Abstention(0.1, 0.9, 0.5, 0.5, 0.08)).write(folder, "ab")
    calibrations[1].write_json(path)
    with pytest.raises(InputError, match=r"calibration\.json is damaged.*another file.*evaluate"):
        read_decisions(folder, names, "ab")
    path.unlink()
    with pytest.raises(InputError, match=r"calibration\.json is missing; evaluate"):
        read_decisions(folder, names, "ab")
    Decisions(abstention=Abstention(0.1, 0.9, 0.5, 0.5, 0.08)).write(folder, "ab")
    calibrations[1].write_json(path)
    with pytest.raises(InputError, match=r"calibration\.json was not there when the thresholds were fitted"):
        read_decisions(folder, names, "ab")
    content = json.loads((folder / "decisions.json").read_text())
    del content["files"]  # as earlier versions wrote it
    (folder / "decisions.json").write_text(json.dumps(content))
    assert read_decisions(folder, names, "ab").calibration == calibrations[1]


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
