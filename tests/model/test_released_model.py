"""The model that comes with the package, by a stand-in and itself: damage is told as such, with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.dicom import UltrasoundInstance, regions_from_meta
from fetal_monai.dicom.regions import main_picture
from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.model.facts import read_facts
from fetal_monai.model.release_writer import MAX_BYTES
from fetal_monai.model.released_model import RELEASED, released_model
from probabilities import rows

FILES = {"model.pt", "model.json", "calibration.json", "decisions.json", "ood.npz", "README.md", "LICENSE.txt"}
real = pytest.mark.skipif(not (RELEASED / "model.pt").exists(), reason="this checkout holds no released model")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    predictor = Predictor(device="cpu")
    assert (predictor.identity.name, predictor.identity.version.partition("+")[0]) == ("fetal_planes", "1.2")
    found = list(predictor.predict(stills[:2]))
    np.testing.assert_allclose(rows(found).sum(axis=1), 1)
    assert all(item.ood_score is not None for item in found)


@real
def test_it_looks_at_the_picture_on_a_screen_and_not_at_the_screen(stills):
    """It has learnt from pictures that were cropped; scanners write whole screens, and say where the picture is."""
    predictor = Predictor(RELEASED, device="cpu")
    pictures, screens = [], []
    for path in stills[:4]:
        with UltrasoundInstance(path) as instance:
            screen = instance.frame(0)
            box = main_picture(regions_from_meta(instance.metadata(0))).clipped(*screen.shape[-2:])
        top, bottom, left, right = box
        screens.append(screen)
        pictures.append(np.ascontiguousarray(screen[:, top:bottom, left:right]))
    found = rows(predictor.predict(stills[:4]))
    np.testing.assert_allclose(found, rows(predictor.predict(pictures)), atol=1e-5)
    assert np.abs(found - rows(predictor.predict(screens))).max() > 0.05, "arrays name no region: nothing is cropped"
