"""A look inside the network is at what `predict` sees, and fails as it fails."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from fetal_monai.dicom import index_dicom
from fetal_monai.inference import Predictor, ReadFailure


@pytest.fixture(scope="module")
def predictor(model_dir):
    return Predictor(model_dir, device="cpu", batch_size=3)


@pytest.fixture(scope="module")
def stills(phantom):
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1][:7]


def features(network, views):
    assert torch.is_inference_mode_enabled()
    return network.forward_features(*views)


def test_the_head_makes_the_probabilities_of_the_features(predictor, stills):
    found = np.stack(list(predictor.look_inside(stills, features)))
    head = {name: value.double().numpy() for name, value in predictor.network.head.state_dict().items()}
    expected = np.stack([item.probabilities for item in predictor.predict(stills)])
    np.testing.assert_allclose(softmax(found @ head["weight"].T + head["bias"], axis=1), expected, atol=1e-5)
    assert found.dtype == np.float64
    assert list(predictor.look_inside([], features)) == []


def test_one_bad_input_never_stops_the_rest(predictor, stills, tmp_path):
    (tmp_path / "bad.dcm").write_bytes(b"nothing")
    given = [stills[0], str(tmp_path / "bad.dcm"), *stills[1:4], "missing.png"]
    found = list(predictor.look_inside(given, features))
    assert [isinstance(item, ReadFailure) for item in found] == [False, True, False, False, False, True]
    (alone,) = predictor.look_inside(stills[0], features)
    np.testing.assert_allclose(found[0], alone, rtol=1e-3, atol=1e-3)


def test_nan_is_a_failure_of_its_own_image(predictor, stills):
    def spoil(network, views):
        return features(network, views).where(torch.arange(len(views[0]))[:, None] != 1, torch.nan)

    found = list(predictor.look_inside(stills[:3], spoil))
    assert [isinstance(item, ReadFailure) for item in found] == [False, True, False]
    assert "the network gives NaN" in found[1].message
