"""The package of docs/extend.md, as it stands there: a backbone, a loss, a transform, a section of the report."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import fetal_monai
from fetal_monai.errors import FetalMonaiError
from fetal_monai.model import read_facts
from fetal_monai.utils.serialization import rebuild

pytestmark = pytest.mark.thorough

SMALL = """
max_epochs: 1
batch_size: 8
num_workers: 0
learning_rate: 0.003
"""


def run(command: list[str], folder: Path, package: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as someone who has installed the package and stands in `folder`."""
    ours = Path(fetal_monai.__file__).parents[1]
    path = os.pathsep.join(map(str, (package / "code", package / "installed", ours)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def package(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and what pip would write about them."""
    folder = tmp_path_factory.mktemp("site")
    page = (root / "docs/extend.md").read_text()
    files = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL))
    assert {"pyproject.toml", "mine.yaml", "my_planes/networks.py", "my_planes/report.py"} <= files.keys()
    for name, text in {**files, "my_planes/__init__.py": ""}.items():
        (folder / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "code" / name).write_text(text)
    about = folder / "installed/my_planes-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my_planes\nVersion: 0.1\n")
    (group,) = re.findall(r'^\[project.entry-points."([^"]+)"\]\n(.*)', files["pyproject.toml"], re.MULTILINE)
    (about / "entry_points.txt").write_text(f"[{group[0]}]\n{group[1].replace(chr(34), '')}\n")
    return folder


@pytest.fixture(scope="module")
def trained(root: Path, package: Path, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and evaluation by the commands of the page."""
    out = tmp_path_factory.mktemp("extended")
    (out / "small.yaml").write_text(SMALL)
    configs = [str(root / "bundle/configs" / name) for name in ("train.yaml", "evaluate.yaml")]
    own = [str(package / "code/mine.yaml"), str(out / "small.yaml")]
    folders = ["--dataset_dir", str(phantom), "--ckpt_dir", str(out / "model"), "--output_dir", str(out / "evaluation")]
    for run_id, files in (("training", [configs[0], *own]), ("evaluating", [*configs, *own])):
        command = ["-m", "monai.bundle", "run", run_id, "--config_file", str(files), *folders]
        done = run(command, out, package)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out


def test_training_uses_and_records_them(trained):
    facts = json.loads((trained / "model/model.json").read_text())
    assert facts["network"]["backbone"] == {"_target_": "my_planes.networks.PlainBackbone", "width": 8}
    darkened = {"_target_": "my_planes.transforms.Darkend", "keys": "image", "by": 0.9}
    assert facts["preprocessing"][2] == darkened  # after shrinking and the banner, before the views


def test_the_report_has_the_section_with_its_figure_and_explains_errors(trained):
    page = (trained / "evaluation/report.html").read_text()
    assert '<h2 id="own-0-title">Least sure patients</h2>' in page
    assert page.count("mean confidence 0.") == 3
    assert 'aria-label="Histogram of the mean confidence of each patient."' in page
    assert "Grad-CAM of the predicted class" in page


def test_predict_finds_an_installed_package_by_its_entry_point(trained, package, phantom):
    command = ["-m", "fetal_monai", "predict", str(phantom / "dicom"), "--model", "model", "--device", "cpu"]
    done = run([*command, "--every-frame", "--no-explain", "--out", "found"], trained, package)
    assert done.returncode == 0, done.stderr
    evaluated = pd.read_csv(trained / "evaluation/predictions.csv", index_col=["SOPInstanceUID", "frame"])
    predicted = pd.read_csv(trained / "found/predictions.csv", index_col=["SOPInstanceUID", "frame"])
    pd.testing.assert_series_equal(
        predicted.loc[evaluated.index, "probability"], evaluated["probability"], atol=1e-5, rtol=0
    )


def test_without_its_package_a_model_is_refused_and_an_import_is_enough(trained, package, monkeypatch):
    facts = read_facts(trained / "model")
    with pytest.raises(FetalMonaiError, match=r"names 'my_planes.networks.PlainBackbone'.*fetal_monai\.extensions"):
        rebuild(facts.network)
    monkeypatch.syspath_prepend(package / "code")  # without what pip writes about it: no entry point
    with pytest.raises(FetalMonaiError, match="no recorded class"):
        rebuild(facts.network)
    assert not [name for name in sys.modules if name.startswith("my_planes")], "a record loads nothing"
    try:
        networks = importlib.import_module("my_planes.networks")
        assert isinstance(rebuild(facts.network).backbone, networks.PlainBackbone)
    finally:
        for name in [name for name in sys.modules if name.startswith("my_planes")]:
            del sys.modules[name]
