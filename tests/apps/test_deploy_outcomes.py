"""How calls of the MONAI Deploy application end: status, words, and what is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from deploying import run_python
from fetal_monai.apps.deploy import __main__ as command

pytestmark = pytest.mark.thorough

IN_ONE_PROCESS = """
import contextlib, io, json, os, runpy, sys
from fetal_monai.apps.deploy.__main__ import main

results = {}
for name, arguments in json.loads(sys.argv[1]).items():
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            if name == "container":
                folder, variables = arguments
                os.environ.update(variables)
                sys.argv = [folder]
                runpy.run_path(folder, run_name="__main__")
            code = main(arguments)
        except SystemExit as leave:
            code = leave.code
    results[name] = [code, err.getvalue()]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def outcomes(deploy_python, root, studies, label_model, tmp_path_factory):
    """Exit status, messages and output folder of several calls, in one process, since each import takes seconds."""
    base = tmp_path_factory.mktemp("mistakes")
    for name in ("ct", "damaged", "empty", "unnamed"):
        (base / name).mkdir()
    shutil.copy(get_testdata_file("CT_small.dcm"), base / "ct")
    shutil.copy(studies[0] / "cut in its pixels.dcm", base / "damaged")
    still = pydicom.dcmread(studies[1][1])
    still.PatientID = ["123", "456"]  # whose report should it be?
    still.save_as(base / "unnamed/still.dcm")
    no_weights = base / "no_weights"
    no_weights.mkdir()
    shutil.copy(label_model / "model.json", no_weights)
    other = Path(shutil.copytree(label_model, base / "other_classes"))
    facts = json.loads((other / "model.json").read_text())
    facts["network"]["num_classes"] = 3
    (other / "model.json").write_text(json.dumps({**facts, "class_names": ["a", "b", "c"]}))
    used = base / "used"
    used.mkdir()
    (used / "notes.txt").write_text("keep")
    calls = {
        "no ultrasound": (base / "ct", label_model),
        "all damaged": (base / "damaged", label_model),
        "nothing at all": (base / "empty", label_model),
        "no such input": (base / "missing", label_model),
        "no such model": (studies[0], base / "missing"),
        "no weights": (studies[0], no_weights),
        "other classes": (studies[0], other),
        "output in use": (studies[0], label_model),
        "no report": (base / "unnamed", label_model),
    }
    out = {name: used if name == "output in use" else base / "out" / name for name in [*calls, "container"]}
    arguments = {name: ["-i", i, "-o", out[name], "-m", m] for name, (i, m) in calls.items()}
    arguments["wrong usage"] = ["--frames", "3"]
    arguments["container"] = in_a_container(base, studies[1][1], label_model, out["container"])
    done = run_python(deploy_python, root, "-c", IN_ONE_PROCESS, json.dumps(arguments, default=str))
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    return {name: (code, text, out.get(name)) for name, (code, text) in results.items()}


def in_a_container(base: Path, still: Path, model: Path, out: Path) -> list[object]:
    """The layout of a MONAI Application Package: a copy of the entry point, models below one folder, variables."""
    app, study = base / "app", base / "study"
    for folder in (app, study, out):  # the output is mounted
        folder.mkdir(parents=True)
    shutil.copy(command.__file__, app)
    shutil.copy(still, study)
    shutil.copytree(model, base / "models" / "fetal_planes")
    folders = {"INPUT": study, "OUTPUT": out, "MODEL": base / "models"}
    return [app, {f"HOLOSCAN_{name}_PATH": path for name, path in folders.items()}]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("no ultrasound", 1, "no ultrasound image"),
        ("all damaged", 1, "cut in its pixels.dcm"),
        ("nothing at all", 1, "no DICOM study among 0 files"),
        ("no such input", 1, "there is no such folder"),
        ("no such model", 1, "a model folder holds model.pt and model.json"),
        ("no weights", 1, "model.pt: 1 problem\n  there is no such file; the model folder is incomplete"),
        ("other classes", 1, "not the weights of this network"),
        ("output in use", 1, "is not empty; name another folder"),
        ("wrong usage", 2, "required: -i/--input, -o/--output"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing_behind(outcomes, name, code, says):
    found, text, out = outcomes[name]
    assert found == code, text
    assert says in text
    assert "Traceback" not in text
    if name == "output in use":
        assert {path.name: path.read_text() for path in out.iterdir()} == {"notes.txt": "keep"}
    else:
        assert out is None or not out.exists()


def test_a_container_runs_by_its_variables(outcomes):
    code, text, out = outcomes["container"]
    assert (code, text) == (0, "")
    assert len(json.loads((out / "predictions.json").read_text())["images"]) == 1


def test_where_no_report_can_be_made_the_rest_is_there(outcomes):
    code, text, out = outcomes["no report"]
    assert code == 3, text
    assert "1 images could not be read" in text
    assert "Traceback" not in text
    content = json.loads((out / "predictions.json").read_text())
    assert (len(content["images"]), len(content["failures"])) == (1, 1)
    assert not (out / "structured_reports").exists()
