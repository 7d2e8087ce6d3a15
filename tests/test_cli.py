"""The command line: instant help, clear errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import fetal_monai
from fetal_monai.cli import app
from rights import without_rights


def test_help_needs_neither_torch_nor_monai():
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from fetal_monai.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "sys.exit(', '.join({'torch', 'monai', 'pandas', 'pydicom', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_every_command_explains_itself():
    runner = CliRunner()
    listing = runner.invoke(app, ["--help"]).output
    assert "not a medical device" in " ".join(listing.split())
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert name in listing
        assert runner.invoke(app, [name, "--help"]).exit_code == 0
        assert len((command.callback.__doc__ or "").split()) > 3, name


def test_the_version_is_the_packages():
    assert CliRunner().invoke(app, ["--version"]).output.strip() == fetal_monai.__version__


@pytest.mark.parametrize("arguments", [["phantom", "{folder}"], ["phantom", "{folder}/new", "--patients", "1"]])
def test_a_users_mistake_is_one_message_and_exit_code_1(tmp_path, arguments):
    (tmp_path / "something").write_text("here")
    command = [sys.executable, "-m", "fetal_monai", *(part.format(folder=tmp_path) for part in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{locked}/images", "--out", "{folder}/out"],
        ["predict", "{folder}", "--out", "{locked}/out"],
        ["deidentify", "{locked}/images", "{folder}/out"],
    ],
)
def test_what_one_may_not_look_into_is_told(tmp_path, arguments):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    words = [part.format(folder=tmp_path, locked=locked) for part in arguments]
    done = subprocess.run(
        without_rights([sys.executable, "-m", "fetal_monai", *words]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"Error: {locked}" in done.stderr
    assert "Permission denied; give a file or folder that you have the right to use" in done.stderr
    assert "Traceback" not in done.stderr
