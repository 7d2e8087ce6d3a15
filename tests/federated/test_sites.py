"""MONAI's `MonaiAlgo` on the bundle, two sites in this process, the server's average written out here."""

from __future__ import annotations

import json
import pickle

import pandas as pd
import pytest
import torch
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from fetal_monai.errors import FetalMonaiError
from fetal_monai.federated import LocalNorms, answer, make_site, write_start
from fetal_monai.federated.local_norms import norm_names
from fetal_monai.inference import Predictor
from fetal_monai.model.folder import load_model

pytestmark = pytest.mark.filterwarnings("ignore:executing the bundle config under:UserWarning")


def average(answers):
    """FedAvg (McMahan et al. 2017): the mean of the weights by steps made."""
    total = sum(steps for _, _, steps in answers)
    return {
        name: sum(weights[name].double() * steps for weights, _, steps in answers) / total for name in answers[0][0]
    }


@pytest.fixture
def start(tiny_site, tmp_path):
    return write_start(tmp_path / "start", [tiny_site])


def test_two_sites_train_average_and_evaluate(sites, tiny_site, start, tmp_path, phantom):
    shared = torch.load(start / "model.pt", weights_only=True)
    begun = {name: value.clone() for name, value in shared.items()}
    algos = [
        make_site([tiny_site], data, tmp_path / str(index), name=f"site{index}") for index, data in enumerate(sites)
    ]
    for train in (True, False):
        answers = [answer(algo, shared, train=train) for algo in algos]
        if train:
            assert all(set(weights) == set(begun) for weights, _, _ in answers)
            assert all(value.is_contiguous() for weights, _, _ in answers for value in weights.values())
            assert [steps for _, _, steps in answers] == [3, 3], "12 images in batches of 4"
            changed = [name for name in begun if not torch.equal(answers[0][0][name], answers[1][0][name])]
            assert len(changed) > 50, "each has learnt from images of its own"
            shared = average(answers)
    assert all({"log_likelihood", "macro_f1", "accuracy"} == set(metrics) for _, metrics, _ in answers)
    for index, algo in enumerate(algos):
        algo.finalize()
        network, _, facts = load_model(tmp_path / str(index) / "model")
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, shared[name].to(value.dtype))
        assert facts.data["train"]["images"] == 12
    file = next((phantom / "dicom").glob("*.dcm"))
    (found, *_) = Predictor(tmp_path / "0" / "model", device="cpu").predict([file])
    assert sum(found.probabilities) == pytest.approx(1)


def test_one_round_of_plain_gradient_descent_is_one_step_on_all_images(sites, tiny_site, tmp_path):
    """One step each with equal batches: the mean of the steps is the step of the mean gradient."""
    plain = {
        "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1},
        "batch_size": 12,
        "network_def": {  # without BatchNorm, which ties the images of a batch together
            "_target_": "fetal_monai.networks.SingleBranchClassifier",
            "num_classes": "@num_classes",
            "backbone": {
                "_target_": "fetal_monai.networks.MonaiBackbone",
                "network": "BasicUNet",
                "out_channels": 2,
                "spatial_dims": 2,
                "in_channels": 3,
                "features": [4] * 6,
            },
        },
    }
    start = write_start(tmp_path / "start", [tiny_site], options=plain)
    shared = torch.load(start / "model.pt", weights_only=True)
    answers = []
    for index, data in enumerate(sites):
        algo = make_site([tiny_site], data, tmp_path / str(index), options=plain)
        answers.append(answer(algo, shared, train=True))
    federated = average(answers)
    pooled_data = tmp_path / "pooled"
    pooled_data.mkdir()
    (pooled_data / "dicom").symlink_to((sites[0] / "dicom").resolve())
    tables = [pd.read_csv(site / "annotations.csv", dtype=str) for site in sites]
    pd.concat(tables).to_csv(pooled_data / "annotations.csv", index=False)
    algo = make_site([tiny_site], pooled_data, tmp_path / "all", options={**plain, "batch_size": 24})
    pooled, _, steps = answer(algo, shared, train=True)
    assert [one[2] for one in answers] + [steps] == [1, 1, 1]
    moved = 0.0
    for name, value in pooled.items():
        torch.testing.assert_close(federated[name].to(value.dtype), value, atol=2e-6, rtol=1e-4)
        moved = max(moved, (value.double() - shared[name].double()).abs().max().item())
    assert moved > 1e-3, "the step is far larger than the tolerance"


def test_norms_stay_at_their_site_and_evaluate_with_it(sites, tiny_site, start, tmp_path):
    shared = torch.load(start / "model.pt", weights_only=True)
    norms = norm_names(shared)
    algos = [
        make_site([tiny_site], data, tmp_path / str(index), filters=["federated_local_norms.yaml"])
        for index, data in enumerate(sites)
    ]
    answers = [answer(algo, shared, train=True) for algo in algos]
    assert all(set(weights) == set(shared) - norms for weights, _, _ in answers)
    own = [{name: algo.trainer.network.state_dict()[name].clone() for name in norms} for algo in algos]
    assert any(not torch.equal(own[0][name], own[1][name]) for name in norms)
    common = average(answers)
    for index, algo in enumerate(algos):
        answer(algo, common, train=False)
        state = torch.load(tmp_path / str(index) / "model/model.pt", weights_only=True)
        for name, value in state.items():
            expected = own[index][name] if name in norms else common[name].to(value.dtype)
            torch.testing.assert_close(value, expected)


def test_nothing_that_leaves_a_site_names_a_patient_or_an_image(sites, tiny_site, start, tmp_path):
    algo = make_site([tiny_site], sites[0], tmp_path / "out")
    weights, metrics, steps = answer(algo, torch.load(start / "model.pt", weights_only=True), train=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    assert set(weights) == set(load_model(start)[0].state_dict())
    assert all(type(value) is float for value in metrics.values())
    assert type(steps) is int
    sent = pickle.dumps((weights, metrics, steps))
    table = pd.read_csv(sites[0] / "annotations.csv", dtype=str)
    for text in {*table["SOPInstanceUID"], *(table["patient_id"])}:
        assert text.encode() not in sent
    assert str(sites[0]).encode() not in sent
    assert "train" not in json.loads((start / "model.json").read_text())["data"]


def test_the_statistics_alone_can_stay():
    names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "head.weight"]
    assert norm_names(names) == set(names[:-1])
    assert norm_names(names, "statistics") == set(names[2:-1])
    with pytest.raises(FetalMonaiError, match="keep is 'some'"):
        LocalNorms("some")


def test_differences_are_refused():
    data = ExchangeObject(weights={"bn.running_mean": torch.ones(1)}, weight_type=WeightType.WEIGHT_DIFF)
    with pytest.raises(FetalMonaiError, match="send_weight_diff=False"):
        LocalNorms().withhold(data)
