"""Every engine gives PyTorch's numbers, whatever the batch; a file of another model, or a damaged one, is refused."""

from __future__ import annotations

import copy
import functools
import importlib
import json
import logging
import os
import shutil
import signal
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference import Predictor
from fetal_monai.inference.engines import choose, openvino_engine
from fetal_monai.inference.engines.eager import EagerEngine
from fetal_monai.inference.engines.engine import installed, require
from fetal_monai.inference.engines.export import export_model
from fetal_monai.inference.engines.mirrored import MirroredEngine
from fetal_monai.inference.engines.openvino_engine import OpenVinoEngine, convert
from fetal_monai.inference.engines.parity import FLOAT32, compare
from fetal_monai.networks import (
    DenseNetBackbone,
    DualBranchClassifier,
    EfficientNetBackbone,
    ResNetBackbone,
    SingleBranchClassifier,
)
from fetal_monai.networks.mirror_images import one_pass

INSTALLED = installed("openvino") and installed("onnxscript")
pytestmark = [pytest.mark.thorough, pytest.mark.skipif(not INSTALLED, reason="the extras `engines` and `export`")]
CLOSE = 1e-5
PAIR = ("torch", "openvino")


@pytest.fixture(scope="module")
def stills(phantom):
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1][:9]


BOTH = ["openvino", pytest.param("onnxruntime", marks=pytest.mark.slow)]  # an export to ONNX takes its time
FILES = {"openvino": "engines/openvino/model.xml", "onnxruntime": "engines/model.onnx"}


@pytest.fixture(scope="module")
def export(evaluated_model, tmp_path_factory):
    """For an engine, a model folder with its file, and what was said of that. Copy it before changing it."""

    @functools.cache
    def make(engine):
        folder = shutil.copytree(evaluated_model, tmp_path_factory.mktemp("exported") / "planes")
        return folder, export_model(folder, "onnx" if engine == "onnxruntime" else engine)

    return make


@pytest.fixture(scope="module")
def expected(evaluated_model, stills):
    return list(Predictor(evaluated_model, device="cpu", engine="torch").predict(stills))


NETWORKS = {
    "two branches, one input": (
        lambda: DualBranchClassifier(
            5, ResNetBackbone(18), EfficientNetBackbone("b0"), shallow_size=[32, 32], gate=True
        ),
        {"image": (3, 48, 64)},
    ),
    "two branches, mirror images": (
        lambda: DualBranchClassifier(
            5, ResNetBackbone(18), EfficientNetBackbone("lite0"), average_flips=True, auxiliary_heads=True
        ),
        {"image": (3, 48, 64), "image_shallow": (3, 33, 47)},
    ),
    "one branch, mirror images": (
        lambda: SingleBranchClassifier(5, ResNetBackbone(18), average_flips=True, dropout=0.5),
        {"image": (3, 47, 65)},
    ),
    "DenseNet": (lambda: SingleBranchClassifier(5, DenseNetBackbone(121)), {"image": (3, 48, 64)}),
}


@pytest.mark.parametrize(
    "name",
    [name if "two branches, mirror" in name else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_openvino_computes_what_pytorch_does_for_every_batch(name, randomise):
    make, views = NETWORKS[name]
    network = randomise(make())
    generator = torch.Generator().manual_seed(2)
    batches = [[torch.rand(n, *shape, generator=generator) * 2 - 1 for shape in views.values()] for n in (1, 2, 3, 7)]
    engine, eager = OpenVinoEngine(convert(network, views)), EagerEngine(network, features=True)
    if network.average_flips:
        of_all = compare(engine, EagerEngine(one_pass(network), features=True), batches)
        assert of_all.within(FLOAT32), of_all
        sure, _ = torch.cat([engine.forward(batch)[0].softmax(1).amax(1) for batch in batches]).sort()
        network.average_flips = float(sure[5:7].mean())  # six of thirteen are in doubt
        engine = MirroredEngine(engine, network)
    found = compare(engine, eager, batches)
    assert found.within(FLOAT32), found
    assert (found.images, found.agreement) == (13, 1.0)
    assert not compare(EagerEngine(randomise(make(), seed=1), features=True), eager, batches).within(FLOAT32)


@pytest.mark.parametrize("engine", BOTH)
def test_predictions_are_those_of_pytorch(engine, export, expected, stills):
    says = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}[engine]
    predictor = Predictor(export(engine)[0], device="cpu", engine=engine, batch_size=4)
    assert (predictor.identity.engine.startswith(says), predictor.engine.name) == (True, predictor.identity.engine)
    assert predictor.identity.weights_sha256 == expected[0].identity.weights_sha256
    assert expected[0].identity.engine == f"PyTorch {torch.__version__}, float32"
    together = list(predictor.predict(stills))
    alone = [found for path in stills for found in predictor.predict(path)]
    for found in (together, alone):
        for mine, theirs in zip(found, expected, strict=True):
            assert np.abs(mine.probabilities - theirs.probabilities).max() < CLOSE
            assert mine.ood_score == pytest.approx(theirs.ood_score, rel=1e-3)
            assert (mine.label, mine.out_of_distribution) == (theirs.label, theirs.out_of_distribution)
    assert len({found.top for found in expected}) > 1, "the images must not all look the same to this model"


def test_mirror_images_count_alike_in_memory_and_from_a_file(evaluated_model, stills, expected, tmp_path):
    folder = shutil.copytree(evaluated_model, tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    facts["network"]["average_flips"] = 1.0
    (folder / "model.json").write_text(json.dumps(facts))
    averaged, in_memory = (list(Predictor(folder, device="cpu", engine=name).predict(stills)) for name in PAIR)
    made = export_model(folder, "openvino")
    text = openvino_engine.read_openvino(made.path)[1]
    assert json.loads(text)["average_flips"] == 1.0
    stored = list(Predictor(folder, device="cpu", engine="openvino").predict(stills))
    for mine, theirs, again in zip(in_memory, averaged, stored, strict=True):
        assert np.abs(mine.probabilities - theirs.probabilities).max() < CLOSE
        assert np.array_equal(mine.probabilities, again.probabilities)
        assert mine.ood_score == pytest.approx(theirs.ood_score, rel=1e-3)
    moved = [np.abs(a.probabilities - b.probabilities).max() for a, b in zip(averaged, expected, strict=True)]
    assert max(moved) > 100 * CLOSE, "mirror images that change nothing prove nothing"
    (folder / "model.json").write_text(json.dumps(facts | {"network": facts["network"] | {"average_flips": 0.5}}))
    with pytest.raises(InputError, match=r"of another model: average_flips 1, not 0\.5"):
        Predictor(folder, device="cpu", engine="openvino")


@pytest.mark.parametrize("engine", BOTH)
def test_an_export_says_how_near_it_is(engine, export):
    folder, made = export(engine)
    assert made.path == folder / FILES[engine]
    assert made.parity.within(FLOAT32)
    assert made.parity.images == 12
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.slow
def test_torchscript_carries_its_model(evaluated_model, tmp_path, expected):
    made = export_model(evaluated_model, "torchscript", tmp_path / "model.ts")
    extra = {"fetal_monai.json": ""}
    module = torch.jit.load(made.path, _extra_files=extra)
    record = json.loads(extra["fetal_monai.json"])
    assert record["weights_sha256"] == expected[0].identity.weights_sha256
    assert record["class_names"] == list(expected[0].class_names)
    logits, features = module(*(torch.zeros(3, *shape) for shape in record["views"].values()))
    assert (logits.shape, features.shape) == ((3, 8), (3, 2560))
    assert not (evaluated_model / "engines").exists()


@pytest.mark.parametrize("engine", BOTH)
def test_a_file_of_another_model_is_refused_by_name(engine, export, new_model, class_names, tmp_path):
    other = new_model(tmp_path / "other", class_names)
    shutil.copytree(export(engine)[0] / "engines", other / "engines")
    with pytest.raises(InputError, match=r"engines.*model\.(xml|onnx)") as raised:
        Predictor(other, device="cpu", engine=engine)
    assert [problem.split(": ")[1].split()[0] for problem in raised.value.problems] == [
        "weights", "preprocessing", "classes",
    ]  # fmt: skip
    assert "fetal-monai export" in str(raised.value)


@pytest.mark.parametrize("engine", BOTH)
def test_a_damaged_file_is_refused_by_name(engine, export, tmp_path):
    folder = shutil.copytree(export(engine)[0], tmp_path / "model")
    path = folder / FILES[engine].replace(".xml", ".bin")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        Predictor(folder, device="cpu", engine=engine)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        Predictor(folder, device="cpu", engine=engine)


def test_the_weights_of_another_export_are_noticed(export, tmp_path):
    """OpenVINO keeps them in a file of its own, which carries no record."""
    folder = shutil.copytree(export("openvino")[0], tmp_path / "model")
    path = folder / "engines/openvino/model.bin"
    values = np.frombuffer(path.read_bytes(), np.uint8).copy()
    part = values[: len(values) // 4 * 4].view(np.float32)
    part[np.isfinite(part) & (np.abs(part) < 10) & (np.abs(part) > 1e-3)] *= 1.5
    path.write_bytes(values.tobytes())
    with pytest.raises(InputError, match=r"damaged|cannot read"):
        Predictor(folder, device="cpu", engine="openvino")


@pytest.mark.slow
def test_a_file_that_does_not_say_what_it_is_is_refused(export, tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = shutil.copytree(export("onnxruntime")[0], tmp_path / "model")
    path = folder / "engines/model.onnx"
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(InputError, match="does not say which model"):
        Predictor(folder, device="cpu", engine="onnxruntime")


def test_the_fastest_is_taken_where_it_works(evaluated_model, expected, stills, monkeypatch, caplog):
    monkeypatch.delenv(choose.VARIABLE)
    predictor = Predictor(evaluated_model, device="cpu")
    assert predictor.engine.name.startswith("OpenVINO")
    assert sys.modules["openvino_telemetry"] is None, "OpenVINO must not call home"
    found = list(predictor.predict(stills))
    assert np.abs([a.probabilities - b.probabilities for a, b in zip(found, expected, strict=True)]).max() < CLOSE
    assert not caplog.records


@pytest.mark.parametrize("what", ["cannot be converted", "computes something else"])
def test_pytorch_does_it_where_it_does_not(what, evaluated_model, monkeypatch, caplog, randomise):
    monkeypatch.delenv(choose.VARIABLE)

    def fail(network, views):
        if what == "cannot be converted":
            raise RuntimeError("no such\noperation")
        return convert(randomise(copy.deepcopy(network)), views)

    monkeypatch.setattr(choose, "convert", fail)
    with caplog.at_level(logging.WARNING):
        predictor = Predictor(evaluated_model, device="cpu")
    assert predictor.engine.name.startswith("PyTorch")
    (record,) = caplog.records
    assert record.message.startswith("PyTorch classifies, because openvino cannot: ")
    assert "\n" not in record.message


def test_an_interrupt_while_openvino_converts_is_not_swallowed(evaluated_model, monkeypatch):
    monkeypatch.delenv(choose.VARIABLE)
    decoder = importlib.import_module("openvino.frontend.pytorch.ts_decoder").TorchScriptPythonDecoder
    visit, visited = decoder.visit_subgraph, []

    def interrupted(self, visitor):
        visited.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        return visit(self, visitor)

    monkeypatch.setattr(decoder, "visit_subgraph", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            Predictor(evaluated_model, device="cpu")
        assert visited
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_asked_for_is_had_or_explained(evaluated_model, monkeypatch):
    with pytest.raises(FetalMonaiError, match="no engine 'tensorrt'; known are auto, torch, openvino"):
        Predictor(evaluated_model, device="cpu", engine="tensorrt")
    monkeypatch.setenv(choose.VARIABLE, "abacus")
    with pytest.raises(FetalMonaiError, match=f"'abacus' .from the environment variable {choose.VARIABLE}"):
        Predictor(evaluated_model, device="cpu")
    for engine, command in (("openvino-int8", "--to openvino --int8"), ("onnxruntime-int8", "--to onnx --int8")):
        with pytest.raises(InputError, match=rf"there is no such file; make it: fetal-monai export .*{command}"):
            Predictor(evaluated_model, device="cpu", engine=engine)
    with pytest.raises(FetalMonaiError, match=r"package abacus.*pip install 'fetal_monai\[engines\]'"):
        require("torch", "abacus")
    monkeypatch.setattr("fetal_monai.inference.engines.engine.installed", lambda _: False)
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(FetalMonaiError, match=r"pip install 'fetal_monai\[engines\]'"):
            Predictor(evaluated_model, device="cpu", engine=engine)


def test_the_command_line_gives_the_same_table(export, phantom, tmp_path):
    tables = []
    for engine in ("torch", "openvino"):
        arguments = ["predict", str(phantom), "--model", str(export("openvino")[0]), "--out", str(tmp_path / engine)]
        done = CliRunner().invoke(app, [*arguments, "--engine", engine, "--no-explain", "--device", "cpu"])
        assert done.exit_code == 0, done.output
        tables.append(pd.read_csv(tmp_path / engine / "predictions.csv", keep_default_na=False))
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=CLOSE)
    content = json.loads((tmp_path / "openvino/predictions.json").read_text())
    assert content["model"]["engine"].startswith("OpenVINO")
