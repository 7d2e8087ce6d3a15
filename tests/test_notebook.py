"""The notebook runs from its first cell to its last, as somebody runs it who has just installed the package."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.thorough

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

QUICKLY = "PATIENTS, IMAGES_PER_PATIENT, EPOCHS = 12, 5, 1"


@pytest.fixture
def notebook(root):
    return nbformat.read(root / "notebooks/quickstart.ipynb", as_version=4)


def run(notebook, folder, timeout):
    nbclient.NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell["id"]: cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"}


def settings_cell(notebook):
    (cell,) = [cell for cell in notebook.cells if cell["source"].startswith("PATIENTS")]
    return cell


def everything_said(outputs):
    return "".join(str(output) for each in outputs.values() for output in each)


def test_it_is_kept_without_outputs(notebook):
    assert all(not cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code")


def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings_cell(notebook)["source"] = QUICKLY
    outputs = run(notebook, tmp_path, timeout=240)
    said = everything_said(outputs)
    assert "fit for a training: True" in said
    assert re.search(r"\d+ items found", said)
    assert not re.search(r"Traceback|\w*Warning\b|Not all config files", said), "nothing to wonder about"
    pictures = sum("image/png" in output.get("data", {}) for each in outputs.values() for output in each)
    assert pictures == 2
    (report,) = tmp_path.rglob("study/report.html")
    assert "Checklist" in report.read_text()
    assert list(tmp_path.glob("*.html")) == []


@pytest.mark.slow
def test_as_it_stands_it_learns_something(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run(notebook, tmp_path, timeout=1200)
    (table,) = tmp_path.rglob("evaluation/predictions.csv")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    truth, prediction = rows[0].index("class"), rows[0].index("prediction")
    right = [row[truth] == row[prediction] for row in rows[1:]]
    assert sum(right) / len(right) > 0.3  # one in sixteen by chance
