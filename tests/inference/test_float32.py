"""The network works in 32-bit floats, TF32 off, and torch's settings are as they were afterwards."""

from __future__ import annotations

import threading

import pytest
import torch
from monai.bundle import ConfigParser
from torch.backends import cuda, cudnn

from fetal_monai.dicom import index_dicom
from fetal_monai.inference import Predictor
from fetal_monai.inference.float32 import Float32Inferer, allow_tf32, full_float32


def settings() -> dict[str, object]:
    found = {"legacy": cudnn.allow_tf32, "matmul": torch.get_float32_matmul_precision()}
    if hasattr(cudnn, "conv"):
        found |= {"conv": cudnn.conv.fp32_precision, "product": cuda.matmul.fp32_precision}
    return found


class Probe(torch.nn.Module):
    """Notes the settings at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, object]] = []

    def forward(self, *given):
        self.seen.append(settings())
        return given[0]


def exact(found: dict[str, object]) -> bool:
    return found["legacy"] is False and {found.get(name, "ieee") for name in ("conv", "product")} == {"ieee"}


@pytest.fixture(params=[True, False], ids=["TF32 on", "TF32 off"])
def before(request):
    """torch's default is on."""
    old = cudnn.allow_tf32
    cudnn.allow_tf32 = request.param
    yield settings()
    cudnn.allow_tf32 = old


def test_the_predictors_network_works_without_tf32(model_dir, phantom, before):
    predictor = Predictor(model_dir, device="cpu", batch_size=2)
    predictor.network.backbone_shallow = torch.nn.Sequential(probe := Probe(), predictor.network.backbone_shallow)
    paths = [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1][:3]
    for _ in predictor.predict(paths):
        assert settings() == before, "the caller's own work between two predictions is the caller's"
    assert len(probe.seen) == 2
    assert all(exact(found) for found in probe.seen)
    assert settings() == before


@pytest.mark.parametrize(
    ("configs", "evaluators"),
    [
        (("inference.yaml",), {"evaluator": "inferer"}),
        (
            ("train.yaml", "evaluate.yaml"),
            dict.fromkeys(("validate#evaluator", "collect#evaluator"), "validate#inferer"),
        ),
    ],
    ids=["inference.yaml", "evaluate.yaml"],
)
def test_every_evaluator_that_predicts_works_without_tf32(root, configs, evaluators, before):
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs" / name) for name in configs])
    for evaluator, inferer in evaluators.items():
        assert parser[f"{evaluator}#inferer"].replace("::", "#") == f"@{inferer}"
        assert parser.get_parsed_content(f"{evaluator}#amp") is False
        parser.get_parsed_content(inferer)(torch.zeros(1, 3, 4, 4), probe := Probe(), torch.zeros(1, 3, 2, 2))
        assert [exact(found) for found in probe.seen] == [True]
    assert settings() == before


def test_an_error_restores_the_settings(before):
    with pytest.raises(ZeroDivisionError):
        Float32Inferer()(torch.zeros(1), lambda _: 1 / 0)
    assert settings() == before


def test_of_several_threads_the_last_one_out_restores(before):
    inside, leave = threading.Event(), threading.Event()

    def work():
        with full_float32():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=work)
    with full_float32():
        thread.start()
        inside.wait(30)
    assert exact(settings()), "the other thread still computes"
    leave.set()
    thread.join()
    assert settings() == before


@pytest.mark.skipif(not hasattr(cudnn, "conv"), reason="needs the settings of each operation, torch 2.9")
def test_settings_of_single_operations_are_kept(before):
    old = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = "ieee" if old == "tf32" else "tf32"  # now reading cudnn.allow_tf32 raises
    try:
        chosen = cudnn.conv.fp32_precision
        with full_float32():
            assert cudnn.conv.fp32_precision == "ieee"
        assert cudnn.conv.fp32_precision == chosen
    finally:
        cudnn.conv.fp32_precision = old
    assert settings() == before


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_one_switch_and_means_nothing_within_full_float32(allowed):
    before = settings()
    try:
        allow_tf32(allowed)
        chosen = settings()
        assert chosen["legacy"] is allowed
        assert chosen["matmul"] == ("high" if allowed else "highest")
        assert {chosen.get(name, "tf32") for name in ("conv", "product")} <= {"tf32" if allowed else "ieee", "none"}
        with full_float32():
            assert exact(settings())
        assert settings() == chosen
    finally:
        cudnn.allow_tf32 = before["legacy"]
        torch.set_float32_matmul_precision(str(before["matmul"]))
