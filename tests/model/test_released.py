"""The model that comes with the package, by a stand-in: written whole, used when none is named, damage told as such."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from typer.testing import CliRunner

from fetal_monai.apps.deploy import __main__ as deploy
from fetal_monai.apps.label.server import default_workspace
from fetal_monai.cli import app
from fetal_monai.data import load_datalists
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import InputError, find_user_error
from fetal_monai.inference import Predictor
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.model import release_writer
from fetal_monai.model.facts import read_facts
from fetal_monai.model.folder import load_model, load_weights
from fetal_monai.model.release_writer import MAX_BYTES, write_release
from fetal_monai.model.released_model import RELEASED, released_model, released_notice

FILES = {"model.pt", "model.json", "calibration.json", "decisions.json", "ood.npz", "README.md", "LICENSE.txt"}
real = pytest.mark.skipif(not (RELEASED / "model.pt").exists(), reason="this checkout holds no released model")


@pytest.fixture(scope="module")
def stills(phantom):
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1][:12]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(found):
    return np.stack([item.probabilities for item in found])


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_release_holds_what_a_user_needs_at_half_the_size(evaluated_model, stand_in):
    assert {path.name for path in stand_in.iterdir()} == FILES
    weights = torch.load(stand_in / "model.pt", weights_only=True)
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    network, _, facts = load_model(stand_in)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert facts.release["version"] == "0.9"
    before, after = (json.loads((folder / "model.json").read_text()) for folder in (evaluated_model, stand_in))
    assert after | {"release": {}} == before
    before, after = (json.loads((folder / "decisions.json").read_text()) for folder in (evaluated_model, stand_in))
    assert after == before | {"weights_sha256": facts.release["files"]["model.pt"]["sha256"]}
    assert (stand_in / "calibration.json").read_bytes() == (evaluated_model / "calibration.json").read_bytes()
    card, licence = ((stand_in / name).read_text() for name in ("README.md", "LICENSE.txt"))
    for text in (
        "# fetal_planes 0.9",
        "Not a medical device",
        "Head (trans-cerebellum)",
        "train: 1 images of 1 patients",
    ):
        assert text in card
    for text in ("FETAL_PLANES_DB", "Burgos-Artizzu", "10200 (2020)", "CC BY 4.0"):
        assert text in licence
    assert sum(len(raw) for raw in content(stand_in).values()) <= MAX_BYTES


def test_half_precision_changes_predictions_little(evaluated_model, stand_in, stills):
    whole, half = ([*Predictor(folder, device="cpu").predict(stills)] for folder in (evaluated_model, stand_in))
    assert np.ptp(rows(whole), axis=0).max() > 0.05, "the images must differ for this to mean anything"
    np.testing.assert_allclose(rows(half), rows(whole), atol=0.03)
    np.testing.assert_allclose([x.ood_score for x in half], [x.ood_score for x in whole], rtol=0.03)


def test_the_card_says_what_people_know(evaluated_model, tmp_path):
    out = write_release(evaluated_model, tmp_path / "out", version="2", name="mine", card="## Limits\n", licence="CC0")
    assert (out / "README.md").read_text().endswith("\n\n## Limits\n")
    assert (out / "README.md").read_text().startswith("# mine 2\n")
    assert (out / "LICENSE.txt").read_text() == "CC0"


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def too_large(folder: Path) -> None:
    weights = torch.load(folder / "model.pt", weights_only=True)
    weights["head.weight"][0, 0] = 1e6
    torch.save(weights, folder / "model.pt")
    (folder / "decisions.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "patch", "says"),
    [
        (None, (Mahalanobis, "save", disk_full), "No space left on device; make room"),
        (None, (release_writer, "MAX_BYTES", 1000), "more than 1000; train a smaller network"),
        (too_large, None, "head.weight hold values that are no numbers or beyond 65504"),
        (lambda folder: (folder / "model.json").unlink(), None, "there is no such file"),
        (lambda folder: (folder / "calibration.json").write_text("{"), None, "is no calibration"),
        (lambda folder: (folder / "model.pt").write_bytes(b""), None, "damaged or cut off"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_release_is_written_whole_or_not_at_all(evaluated_model, tmp_path, monkeypatch, spoil, patch, says, there):
    source = Path(shutil.copytree(evaluated_model, tmp_path / "source"))
    if spoil:
        spoil(source)
    if patch:
        monkeypatch.setattr(*patch)
    out = tmp_path / "parent" / "out"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(InputError, match=says):
        write_release(source, out, version="1")
    assert not out.exists() or not any(out.iterdir())
    assert not out.parent.exists() or {path.name for path in out.parent.iterdir()} <= {"out"}


def test_thresholds_of_other_weights_and_a_folder_in_use_are_refused(evaluated_model, tmp_path):
    source = Path(shutil.copytree(evaluated_model, tmp_path / "source"))
    decisions = json.loads((source / "decisions.json").read_text())
    (source / "decisions.json").write_text(json.dumps({**decisions, "weights_sha256": "0" * 64}))
    with pytest.raises(InputError, match="other weights"):
        write_release(source, tmp_path / "out", version="1")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for name in ("used", "file"):
        with pytest.raises(InputError, match="is not an empty folder"):
            write_release(evaluated_model, tmp_path / name, version="1")
    assert content(tmp_path / "used") == {"notes.txt": b"keep"}
    with pytest.raises(InputError, match="cannot be written"):
        write_release(evaluated_model, tmp_path / "file/below", version="1")


# --- use when none is named -------------------------------------------------------------------------------------------


def test_the_predictor_takes_it_and_says_so_in_one_line(released, stills, caplog):
    with caplog.at_level(logging.INFO):
        named = Predictor(released, device="cpu")
    assert not caplog.records
    unnamed = Predictor(device="cpu")
    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    for text in ("fetal_planes 0.9", "8 classes", *unnamed.class_names, "not a medical device"):
        assert text in line
    assert unnamed.identity == named.identity
    np.testing.assert_array_equal(rows(unnamed.predict(stills[:2])), rows(named.predict(stills[:2])))


def test_predict_takes_it_and_keeps_stdout_for_the_results(released, stills, tmp_path):
    done = CliRunner().invoke(app, ["predict", stills[0], "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == released_notice()
    assert "Model:" not in done.stdout
    assert done.stderr.count("not a medical device") == 1
    table = Predictions.read_csv(tmp_path / "out/predictions.csv")
    np.testing.assert_allclose(
        table.probabilities, rows(Predictor(released, device="cpu").predict(stills[0])), atol=1e-6
    )


@pytest.mark.parametrize("command", ["predict", "label"])
def test_help_says_so_without_torch(command):
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from fetal_monai.cli import app\n"
        f"print(CliRunner().invoke(app, ['{command}', '--help']).stdout)\n"
        "sys.exit(', '.join({'torch', 'monai', 'pandas', 'pydicom', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    plain = " ".join(done.stdout.replace("│", " ").split())
    assert "by default the one that comes with fetal_monai" in plain


class App:
    """In the place of the application that needs the SDK."""

    def __init__(self, *, output_folder, predictor, **_):
        self.out, self.predictor = output_folder, predictor

    def run(self):
        (self.out / "structured_reports").mkdir()
        facts = {"images": [self.predictor.identity.weights_sha256], "failures": []}
        (self.out / "predictions.json").write_text(json.dumps(facts))


def test_deploy_takes_it_where_no_model_is_named(released, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", "")
    monkeypatch.setattr(deploy, "prepare_runtime", lambda _: None)
    monkeypatch.setitem(sys.modules, "fetal_monai.apps.deploy.app", type(sys)("stub"))
    monkeypatch.setattr(sys.modules["fetal_monai.apps.deploy.app"], "FetalPlanesApp", App, raising=False)
    (tmp_path / "in").mkdir()
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert deploy.main(arguments) == 0
    assert capsys.readouterr().err == f"{released_notice()}\n"
    (used,) = json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    assert used == read_facts(released).release["files"]["model.pt"]["sha256"]
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", tmp_path / "nowhere")
    assert deploy.main([*arguments[:3], str(tmp_path / "other")]) == 1
    assert "no model comes with this installation" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", str(tmp_path / "empty"))
    assert deploy.main([*arguments[:3], str(tmp_path / "other")]) == 1, "a model that is named but is not there"
    assert "a model folder holds model.pt and model.json" in capsys.readouterr().err


def test_label_takes_it_and_works_in_a_folder_of_the_user(released, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("fetal_monai.apps.label.server.serve", lambda *given, **_: calls.append(given))
    done = CliRunner().invoke(app, ["label", "--studies", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert calls == [(str(tmp_path), released)]
    assert done.stderr == f"{released_notice()}\n"
    assert default_workspace(released) == Path("fetal_planes-label")
    assert default_workspace(tmp_path / "mine") == tmp_path / "mine-label"


# --- damage -----------------------------------------------------------------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13851371\n"


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("model.pt", None, "model.pt is missing; install fetal_monai again"),
        ("model.pt", lambda raw: raw[:100], "model.pt is cut off: 100 of "),
        ("model.pt", lambda _: b"", "model.pt is cut off: 0 of "),
        ("model.pt", lambda _: POINTER, "model.pt is a pointer of Git LFS"),
        ("model.pt", lambda raw: raw[:-9000] + b"?" + raw[-8999:], "model.pt is damaged: its SHA-256"),
        ("calibration.json", None, "calibration.json is missing; install"),
        ("decisions.json", lambda raw: raw + b" ", "decisions.json is damaged"),
        ("ood.npz", lambda raw: raw[:-1], "ood.npz is cut off"),
        ("model.json", None, "model.json: 1 problem"),
        ("model.json", lambda raw: raw[:200], "model.json: 1 problem"),
        ("model.json", lambda _: POINTER, "model.json: 1 problem"),
        ("model.json", lambda _: b"{}", "model.json: 1 problem"),
        ("model.json", lambda raw: raw.replace(b'"sha256": "', b'"sha257": "'), "model.json: 1 problem"),
    ],
)
def test_damage_is_named_with_its_remedy(released, stills, tmp_path, monkeypatch, name, change, says):
    broken = Path(shutil.copytree(released, tmp_path / "fetal_planes"))
    raw = (broken / name).read_bytes()
    (broken / name).unlink()
    if change is not None:
        (broken / name).write_bytes(change(raw))
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", broken)
    done = CliRunner().invoke(app, ["predict", stills[0], "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), "no traceback"
    assert done.stderr.startswith("Error: ")
    for text in (str(broken), says, "pip install --force-reinstall", "or name a model folder of your own"):
        assert text in done.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError):
        Predictor()


def test_all_damage_is_told_at_once(released, tmp_path, monkeypatch):
    broken = Path(shutil.copytree(released, tmp_path / "fetal_planes"))
    (broken / "ood.npz").unlink()
    (broken / "model.pt").write_bytes(POINTER)
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", broken)
    with pytest.raises(InputError, match="2 problems"):
        released_model()


def test_an_installation_without_a_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("fetal_monai.model.released_model.RELEASED", tmp_path)
    with pytest.raises(
        InputError, match=r"no model comes with this installation; train one \(README, 'Your own data'\)"
    ):
        Predictor()


def test_a_copy_is_checked_too_and_may_be_calibrated_anew(stand_in, tmp_path):
    mine = Path(shutil.copytree(stand_in, tmp_path / "mine"))
    for name in ("calibration.json", "decisions.json", "ood.npz"):
        (mine / name).unlink()
    Predictor(mine, device="cpu")
    (mine / "model.pt").write_bytes((mine / "model.pt").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model.pt is cut off(.|\n)*copy the released model again"):
        Predictor(mine, device="cpu")


# --- classes that it does not have ------------------------------------------------------------------------------------


def test_other_classes_are_told_with_those_it_has(released, class_names):
    network, _, facts = load_model(released)
    with pytest.raises(InputError) as caught:
        load_weights(network, released, class_names)
    for text in (
        "8 classes",
        *facts.class_names,
        "16 others",
        *class_names,
        "train a model of your own",
        "Your own data",
    ):
        assert text in str(caught.value)


def flow(root, released, phantom, out, *overlays):
    return ConfigWorkflow(
        config_file=[str(root / "bundle/configs/train.yaml"), *overlays, str(root / "bundle/configs/evaluate.yaml")],
        workflow_type="train",
        run_id="evaluating",
        logging_file=False,
        bundle_root=str(root / "bundle"),
        dataset_dir=str(phantom),
        ckpt_dir=str(released),
        output_dir=str(out),
        num_workers=0,
        device=torch.device("cpu"),
    )


def test_evaluating_it_on_other_classes_is_one_message(root, released, phantom, tmp_path):
    evaluation = flow(root, released, phantom, tmp_path / "eval")
    evaluation.initialize()
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps it, and the console takes it out again
        evaluation.run()
    found = find_user_error(caught.value)
    for text in ("the model knows 8 classes (Abdomen, Femur", "16 others (Femur, Head (PPP, Tectum)", "Your own data"):
        assert text in str(found)
    assert not (tmp_path / "eval").exists()


def test_annotations_of_other_classes_are_told_with_those_it_has(phantom, released):
    planes = read_facts(released).class_names
    with pytest.raises(InputError) as caught:
        load_datalists(phantom / "annotations.csv", phantom, planes)
    for text in ("class 'Stomach' is not in the list of classes (Abdomen, Femur", "train a model of your own"):
        assert text in str(caught.value)


def test_evaluating_it_leaves_it_as_it_is(root, released, phantom, tmp_path):
    facts = read_facts(released)
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    table["class"] = table["class"].where(table["class"].isin(facts.class_names), "Other")
    table["class_int"] = table["class"].map(facts.class_names.index)
    table.to_csv(tmp_path / "annotations.csv", index=False)
    load = {"_target_": "LoadImaged", "keys": "image", "reader": {"_target_": "fetal_monai.dicom.UltrasoundReader"}}
    config = {
        "class_names": facts.class_names,
        "network_def": facts.network,
        "preprocessing": [{**load, "dtype": "$np.uint8", "expanduser": False}, *facts.preprocessing[:-1]],
        "views": facts.preprocessing[-1:],
        "annotations": str(tmp_path / "annotations.csv"),
        "batch_size": 8,
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    before = content(released)
    evaluation = flow(root, released, phantom, tmp_path / "eval", str(tmp_path / "small.yaml"))
    evaluation.initialize()
    evaluation.run()
    assert (tmp_path / "eval/metrics.json").exists()
    assert content(released) == before


# --- the real one -----------------------------------------------------------------------------------------------------


@real
def test_the_released_model_is_whole_small_and_of_the_public_planes(root):
    folder = released_model()
    assert {path.name for path in folder.iterdir()} == FILES
    assert sum(len(raw) for raw in content(folder).values()) <= MAX_BYTES
    overlay = yaml.safe_load((root / "bundle/configs/datasets/fetal_planes.yaml").read_text())
    assert read_facts(folder).class_names == overlay["class_names"]
    assert {v.dtype for v in torch.load(folder / "model.pt", weights_only=True).values()} == {
        torch.float16,
        torch.int64,
    }
    for text in ("FETAL_PLANES_DB", "Burgos-Artizzu", "CC BY 4.0"):
        assert text in (folder / "LICENSE.txt").read_text()
    assert "Not a medical device" in (folder / "README.md").read_text()


@real
def test_the_released_model_classifies(stills):
    found = list(Predictor(device="cpu").predict(stills[:2]))
    np.testing.assert_allclose(rows(found).sum(axis=1), 1)
    assert all(item.ood_score is not None for item in found)
