"""`fetal-monai export`: a file that computes what the model does, or none."""

from __future__ import annotations

import copy
import resource
import shutil
import signal

import pytest
import torch
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference import Predictor
from fetal_monai.inference.engines import export
from fetal_monai.inference.engines.openvino_engine import convert

pytestmark = pytest.mark.thorough


@pytest.fixture
def model(evaluated_model, tmp_path):
    return shutil.copytree(evaluated_model, tmp_path / "planes")


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def no_space():
    """No file may grow beyond 1 MiB: what the system then says to every library is as good as a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("target", ["openvino", pytest.param("torchscript", marks=pytest.mark.slow)])
def test_where_it_cannot_be_written_nothing_is(target, model, no_space):
    before = left(model)
    with pytest.raises(InputError, match=r"engines.*\n.*(cannot be written|damaged)"):
        export.export_model(model, target)
    assert left(model) == before


@pytest.mark.parametrize("noticed_by", ["the probe", "the images"])
def test_what_computes_something_else_is_not_written(noticed_by, model, monkeypatch, randomise):
    monkeypatch.setattr(export, "convert", lambda network, views: convert(randomise(copy.deepcopy(network)), views))
    if noticed_by == "the images":
        monkeypatch.setattr(export, "check_record", lambda *_: None)
    before = left(model)
    with pytest.raises(InputError, match="no longer computes" if noticed_by == "the probe" else "not written"):
        export.export_model(model, "openvino")
    assert left(model) == before


def test_a_damaged_model_is_named(model):
    whole = (model / "model.pt").read_bytes()
    (model / "model.pt").write_bytes(whole[: len(whole) // 2])
    done = CliRunner().invoke(app, ["export", str(model), "--to", "openvino"])
    assert done.exit_code == 1
    assert "model.pt" in done.output
    assert "Traceback" not in done.output


def test_what_is_there_stays_unless_it_may_go(model, stand_in, tmp_path):
    (model / "engines").mkdir()
    (model / "engines/model.ts").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        export.export_model(model, "torchscript")
    assert (model / "engines/model.ts").read_text() == "mine"
    with pytest.raises(InputError, match=r"ends in \.xml"):
        export.export_model(model, "openvino", tmp_path / "model.onnx")
    with pytest.raises(FetalMonaiError, match="--to onnx or --to openvino"):
        export.export_model(model, "torchscript", int8=[tmp_path])


def test_nothing_is_written_into_the_installed_package(released_stand_in):
    with pytest.raises(InputError, match="--out"):
        export.export_model(released_stand_in, "torchscript")


@pytest.fixture
def released_stand_in(model, monkeypatch):
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", model)
    return model


@pytest.mark.slow
def test_it_is_compared_on_the_images_that_are_named(model, phantom):
    done = CliRunner().invoke(
        app, ["export", str(model), "--to", "torchscript", "--check", str(phantom), "--overwrite"]
    )
    assert done.exit_code == 0, done.output
    assert f"{model}/engines/model.ts: 64 images: logits differ by at most" in done.output.replace("\n", " ")


def test_too_few_images_to_quantise_with(model, phantom, tmp_path):
    one = next(path for path in phantom.rglob("*.dcm"))
    with pytest.raises(InputError, match="1 images are too few"):
        export.export_model(model, "onnx", int8=[one])
    with pytest.raises(InputError, match="does not exist"):
        export.export_model(model, "onnx", int8=[tmp_path / "nowhere"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "target", "name"),
    [("onnxruntime-int8", "onnx", "model.int8.onnx"), ("openvino-int8", "openvino", "openvino-int8/model.xml")],
)
def test_eight_bits_are_near(engine, target, name, model, phantom, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra `engines`")
    monkeypatch.setattr(export, "INT8", export.Limits(relative=None, agreement=0.5))
    made = export.export_model(model, target, int8=[phantom])
    assert made.path == model / "engines" / name
    predictor, exact = Predictor(model, device="cpu", engine=engine), Predictor(model, device="cpu", engine="torch")
    assert predictor.identity.engine.endswith("int8")
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randint(0, 256, (3, 60, 80), generator=generator, dtype=torch.uint8) for _ in range(4)]
    for found, expected in zip(predictor.predict(frames), exact.predict(frames), strict=True):
        assert abs(found.probabilities - expected.probabilities).max() < 0.2
    if target == "openvino":
        weights = made.path.with_suffix(".bin")
        values = weights.read_bytes()
        weights.write_bytes(values[: len(values) // 2] + bytes(len(values) - len(values) // 2))
        with pytest.raises(InputError, match="damaged"):
            Predictor(model, device="cpu", engine=engine)
