"""Active learning through the real MONAI Label server: what it offers is what an independent look at the model says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Predictor

pytestmark = pytest.mark.thorough

pytest.importorskip("monailabel")
requests = pytest.importorskip("requests")
PATIENCE_S = 240
CLOSE = 1e-5  # the server predicts in batches: float32 logits around 20 then differ by an ulp or two


@pytest.fixture(scope="module")
def server(label_server, label_model, label_studies, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("workspace")
    options = ("--studies", label_studies.folder, "--model", label_model, "--workspace", workspace, "--port", "0")
    with label_server(*options) as running:
        yield running


@pytest.fixture(scope="module")
def looked_at(label_studies, label_model) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """By image and frame: the features that the head sees, and the probabilities."""
    predictor, seen = Predictor(label_model, device="cpu", batch_size=1), []
    predictor.network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0].double().numpy()))
    paths = {**label_studies.dicom, label_studies.picture: label_studies.folder / label_studies.picture}
    found = {}
    for image, path in paths.items():
        frames = label_studies.frames(str(path))
        for frame in [-1] if frames == 1 else sorted({round(k * (frames - 1) / 4) for k in range(5)}):
            (item,) = predictor.predict([FrameRef(str(path), frame)])
            found[image, frame] = seen[-1], item.probabilities
    assert len(seen) == len(found)
    return found


def offer(server, strategy: str, **body) -> dict:
    answer = requests.post(f"{server.url}/activelearning/{strategy}", json={"pool": 1000, **body}, timeout=PATIENCE_S)
    assert answer.ok, server.explain(answer)
    return answer.json()


def rounds(server, strategy: str, count: int) -> list[dict]:
    return [offer(server, strategy, client_id="test") for _ in range(count)]


@pytest.mark.parametrize("strategy", ["entropy", "disagreement"])
def test_scores_order_the_images_and_each_is_offered_once(server, looked_at, label_model, strategy):
    head = torch.load(label_model / "model.pt", weights_only=True)
    weight, bias, coarse = head["head.weight"].double().numpy(), head["head.bias"].double().numpy(), 512  # of ResNet-18
    scores: dict[str, tuple[float, int]] = {}
    for (image, frame), (features, probabilities) in looked_at.items():
        shares = [part @ w.T + bias / 2 for part, w in ((features[:coarse], weight[:, :coarse]),
                                                        (features[coarse:], weight[:, coarse:]))]  # fmt: skip
        np.testing.assert_allclose(softmax(sum(shares)), probabilities, atol=CLOSE)
        disagreement = jensenshannon(*map(softmax, shares)) ** 2
        score = entropy(probabilities) if strategy == "entropy" else disagreement
        scores[image] = max(scores.get(image, (-1, 0)), (score, frame))
    offers = rounds(server, strategy, len(scores))
    assert {found["id"] for found in offers} == set(scores)  # what was offered waits for its second turn
    expected = sorted((score for score, _ in scores.values()), reverse=True)
    assert [found["weight"] for found in offers] == pytest.approx(expected, abs=CLOSE)
    best = max(scores, key=scores.__getitem__)
    assert (offers[0]["id"], offers[0]["frame"]) == (best, scores[best][1])


def test_distance_follows_the_labels(server, looked_at, label_studies, class_names):
    features = {place: seen for place, (seen, _) in looked_at.items()}
    labelled = [(label_studies.stills[0], -1), (label_studies.clips[0], 0)]
    url = f"{server.url}/datastore/label"
    for image, frame in labelled:
        text = json.dumps({"labels": [{"frame": frame, "class": class_names[0]}]})
        files = {"label": ("label.json", text, "application/json")}
        assert requests.put(url, params={"image": image, "tag": "final"}, files=files, timeout=60).ok
    known = {image for image, _ in labelled}
    centres = [features[place] for place in labelled]
    for _ in range(4):
        left = [place for place in features if place[0] not in known]
        nearest = cdist([features[place] for place in left], centres).min(axis=1)
        found = offer(server, "distance")
        assert (found["id"], found["frame"]) == left[nearest.argmax()]
        assert found["weight"] == pytest.approx(nearest.max(), rel=1e-3)
        known.add(found["id"])  # offered, so it counts
        centres += [seen for (image, _), seen in features.items() if image == found["id"]]


def test_other_strategies(server, looked_at):
    assert offer(server, "random")["id"] in {image for image, _ in looked_at}
    url = f"{server.url}/activelearning"
    assert requests.post(f"{url}/alphabet", json={}, timeout=60).status_code == 404
    refused = requests.post(f"{url}/distance", json={"pool": "all"}, timeout=60)
    assert (refused.status_code, "pool is 'all'" in refused.text) == (422, True)
