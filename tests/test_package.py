"""What an installation gets: the wheel and the source distribution carry every file that the code reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from fetal_monai.bundle import copy_bundle
from fetal_monai.model.released_model import RELEASED

pytest.importorskip("setuptools", minversion="77")  # what pyproject.toml asks for, without a download

IN_A_CHECKOUT_ONLY = {"requirements.txt"}  # what `make label` and `make deploy` install


@pytest.fixture(scope="module")
def source(root: Path, stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, for the build leaves its traces beside it; with a model, the real one if it is there."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(root / name, folder)
    shutil.copytree(root / "fetal_monai", folder / "fetal_monai", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "bundle", folder / "bundle", ignore=shutil.ignore_patterns("models", "eval"))
    (folder / "bundle/models").mkdir()
    (folder / "bundle/models/model.pt").write_bytes(b"a training of somebody, not to be published")
    if not (RELEASED / "model.pt").exists():
        shutil.copytree(stand_in, folder / "fetal_monai/released/fetal_planes", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir"]
    done = subprocess.run([*command, str(out), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


def wanted(source: Path) -> set[str]:
    files = {path for path in (source / "fetal_monai").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(source).as_posix() for path in files if path.name not in IN_A_CHECKOUT_ONLY}


def test_the_wheel_carries_every_file_of_the_package(source, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert not wanted(source) - names
    for name in (
        "py.typed",
        "released/fetal_planes/model.pt",
        "report/templates/report.html",
        "results/plane_codes.yaml",
    ):
        assert f"fetal_monai/{name}" in names
    for name in ("released/fetal_planes/LICENSE.txt", "apps/label/static/page.js", "results/predictions.schema.json"):
        assert f"fetal_monai/{name}" in names


def test_so_does_the_source_distribution(source, tmp_path):
    program = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not wanted(source) - names
    assert {"setup.py", "bundle/configs/train.yaml", "bundle/LICENSE"} <= names
    assert "bundle/models/model.pt" not in names


def test_the_bundle_travels_inside_the_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        inside = {
            name.removeprefix("fetal_monai/_bundle/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("fetal_monai/_bundle/")
        }
        assert {name.split("/")[0] for name in archive.namelist() if ".dist-info" not in name} == {"fetal_monai"}
    copy = copy_bundle(tmp_path / "copy")
    assert inside == {p.relative_to(copy).as_posix(): p.read_bytes() for p in copy.rglob("*") if p.is_file()}


def test_what_is_installed_predicts_without_a_model_being_named(wheel, phantom, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    before = {path: path.read_bytes() for path in (site / "fetal_monai/released/fetal_planes").iterdir()}
    still = next(iter(sorted((phantom / "dicom").iterdir())))
    command = [sys.executable, "-m", "fetal_monai", "predict", str(still), "--out", "out", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Model: fetal_planes ")
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert "Head (trans-thalamic)" in table.columns
    assert {path: path.read_bytes() for path in before} == before
