"""The MONAI Deploy application's surroundings, without its SDK: messages, folders, pins."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import pytest
import yaml

import fetal_monai
from fetal_monai.apps.deploy import __main__ as command
from fetal_monai.apps.deploy import runtime
from fetal_monai.errors import FetalMonaiError, InputError


def test_without_the_sdk_the_message_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FetalMonaiError, match=r'not installed.*pip install "fetal_monai\[deploy\]"'):
        runtime.prepare_runtime()
    arguments = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-m", str(tmp_path)]
    assert command.main(arguments) == 1
    assert "not installed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_library_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)

    def fail(name: str) -> None:
        raise ImportError(f"{name}: libcudart.so.13: cannot open shared object file\nmore")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(FetalMonaiError, match=r"does not load \(cuda.pathfinder: libcudart.so.13: [^\n]*\)"):
        runtime.prepare_runtime()


def test_the_model_is_found_below_the_folder_of_models(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert command.find_model(tmp_path) == tmp_path, "reading it says what is missing"
    (tmp_path / "one" / "model.json").touch()
    assert command.find_model(tmp_path) == tmp_path / "one"
    assert command.find_model(tmp_path / "one") == tmp_path / "one"
    (tmp_path / "two" / "model.json").touch()
    with pytest.raises(InputError, match=r"several models \(one, two\)"):
        command.find_model(tmp_path)


def test_the_packagers_configuration(root):
    content = yaml.safe_load((root / "fetal_monai/apps/deploy/app.yaml").read_text())
    assert content["application"]["version"] == fetal_monai.__version__
    assert "not a medical device" in content["application"]["title"]
    assert {"cpu", "gpu", "memory"} <= content["resources"].keys()


def test_the_environment_of_the_sdk_has_the_locked_monai(root):
    locked, ours = (
        [line for line in (root / file).read_text().splitlines() if line.startswith("monai==")]
        for file in ("constraints.txt", "fetal_monai/apps/deploy/requirements.txt")
    )
    assert ours == locked
