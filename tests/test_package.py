"""What an installation gets: every file that the code reads, and from it all that a checkout can do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fetal_monai.model.released_model import RELEASED
from fetal_monai.utils.bundle import copy_bundle

pytest.importorskip("setuptools", minversion="77")  # what pyproject.toml asks for, without a download

IN_A_CHECKOUT_ONLY = {"requirements.txt"}  # what `make label` and `make deploy` install


@pytest.fixture(scope="module")
def source(root: Path, stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, for the build leaves its traces beside it; with a model, the real one if it is there."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "Makefile", "constraints.txt"):
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
        "data/plane_codes.yaml",
        "results/study.schema.json",
        "study/protocols/isuog_mid_trimester.yaml",
        "report/templates/study.html",
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


@pytest.mark.thorough
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


@pytest.fixture(scope="module")
def stranger(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run programs of an environment that holds nothing but the wheel and what it asks for, in a folder of its own."""
    home = tmp_path_factory.mktemp("stranger")
    programs, work = home / "env/bin", home / "work"
    work.mkdir()
    # Nothing of this environment or the checkout may help.
    ours = ("PYTHON", "COV_", "COVERAGE", "PYTEST", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

    def run(program: str | Path, *arguments: object, cwd: Path = work) -> subprocess.CompletedProcess[str]:
        command = [str(programs / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    run(shutil.which("make"), f"PYTHON={sys.executable}", "wheel", cwd=source)
    run(sys.executable, "-m", "venv", home / "env")
    (built,) = (source / "dist").glob("*.whl")
    lock = source / "constraints.txt"
    run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", lock, built)
    return run


@pytest.mark.slow
@pytest.mark.timeout(5400)  # an empty environment is filled over the network
def test_a_stranger_without_a_checkout_gets_from_the_wheel_to_a_report(stranger, tiny_network):
    where = stranger("python", "-c", "import fetal_monai, os; print(fetal_monai.__file__, os.getcwd(), sep='\\n')")
    package, work = (Path(line) for line in where.stdout.splitlines())
    assert package.parent.parent.name == "site-packages"
    installed = {path: path.read_bytes() for path in (package.parent / "_bundle").rglob("*") if path.is_file()}
    (work / "tiny.yaml").write_text(tiny_network)

    stranger("fetal-monai", "phantom", "data", "--patients", 8, "--images", 4, "--size", 240, 320, "--workers", 1)
    assert "mine/configs/train.yaml" in stranger("fetal-monai", "bundle", "mine").stdout

    options = ["--dataset_dir", "data", "--ckpt_dir", "model", "--output_dir", "evaluation", "--num_workers", 0]
    run = ["python", "-m", "monai.bundle", "run"]
    configs = "'mine/configs/train.yaml','tiny.yaml'"
    few = ["--max_epochs", 1, "--train#trainer#epoch_length", 2]
    assert "model folder: model" in stranger(*run, "training", "--config_file", f"[{configs}]", *options, *few).stdout
    configs += ",'mine/configs/evaluate.yaml'"
    stranger(*run, "evaluating", "--config_file", f"[{configs}]", *options)
    assert "Four-chamber heart section" in (work / "evaluation/report.html").read_text()
    assert json.loads((work / "evaluation/metrics.json").read_text())

    released = stranger("fetal-monai", "predict", "data", "--out", "by_the_released")
    assert released.stderr.startswith("Model: fetal_planes ")
    stranger("fetal-monai", "predict", "data", "--model", "model", "--out", "by_ours", "--sr")
    assert "Head (trans-thalamic)" in pd.read_csv(work / "by_the_released/predictions.csv").columns
    assert "Four-chamber heart section" in pd.read_csv(work / "by_ours/predictions.csv").columns
    assert len(pd.read_csv(work / "by_ours/predictions.csv")) >= 32
    made = ["by_ours", "by_the_released", "data", "evaluation", "mine", "model", "tiny.yaml"]
    assert sorted(path.name for path in work.iterdir()) == made
    assert {path: path.read_bytes() for path in installed} == installed, "an installed package is only read"
