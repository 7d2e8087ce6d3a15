"""The commands of the README and of docs/ are real, and each is run by a test or said not to be.

The table of docs/testing.md names, for each command, the test that runs it or the reason why none does. Here every
command is held to what it names: subcommands, options, configurations and their keys, targets of the Makefile, scripts.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import monai.bundle
import pytest
import typer.main
import yaml
from monai.bundle import ConfigParser

from fetal_monai.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bundle/docs/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
SHELL = {"", "bash", "console", "sh"}
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
RUN_OPTIONS = set(inspect.signature(monai.bundle.run).parameters)
COMMANDS = typer.main.get_command(app).commands


def split(line: str, variables: dict[str, str]) -> Iterator[list[str]]:
    """The commands of one line, as words; an assignment is remembered and is none."""
    for name, value in variables.items():
        line = line.replace(f"${name}", value)
    words = shlex.split(line, comments=True)
    if words and (assigned := re.fullmatch(r"([A-Z]+)=(.*)", words[0])):
        variables[assigned[1]] = assigned[2]
        return
    command: list[str] = []
    for word in [*words, "&&"]:
        if word != "&&":
            command.append(word)
        elif command:
            yield [re.sub(r"^\S*bin/", "", command[0]), *command[1:]]
            command = []


def commands_of(text: str) -> Iterator[list[str]]:
    """All commands in the fenced blocks of a page."""
    for _, language, block in FENCE.findall(text):
        if language in SHELL:
            lines = re.sub(r"\\\n", " ", block).splitlines()
            typed = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")] or lines
            variables: dict[str, str] = {}
            for line in typed:
                yield from split(line, variables)


FOUND = [(page, command) for page in PAGES for command in commands_of(page.read_text())]


@cache
def table() -> dict[str, str]:
    """What docs/testing.md says of each command."""
    text = (ROOT / "docs/testing.md").read_text()
    rows = text[text.index("<!-- commands: begin -->") : text.index("<!-- commands: end -->")]
    found = {}
    for commands, how in re.findall(r"^\| (`.*?) \| (.*) \|$", rows, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", commands), how)
    return found


def head(command: list[str]) -> str | None:
    """The longest entry of the table that the command begins with."""
    fits = [entry for entry in table() if command[: len(entry.split())] == entry.split()]
    return max(fits, key=len, default=None)


def options_of(command: list[str]) -> dict[str, str]:
    """Names of the options, with what follows each."""
    following = [*command[1:], ""]
    return {
        word.lstrip("-").partition("=")[0]: following[index]
        for index, word in enumerate(command)
        if re.match(r"--?[a-zA-Z]", word)
    }


def configs_of(value: str) -> list[str]:
    return list(ast.literal_eval(value)) if value.startswith("[") else [value]


@cache
def parser_of(files: tuple[str, ...]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(list(files))
    return parser


def check_fetal_monai(command: list[str]) -> None:
    if command[1:] and not command[1].startswith("-"):
        assert command[1] in COMMANDS, f"there is no command {command[1]}"
        known = {option.lstrip("-") for found in COMMANDS[command[1]].params for option in found.opts} | {"help"}
        assert options_of(command).keys() <= known


def check_bundle(command: list[str]) -> None:
    options = options_of(command[3:])
    function = command[3]
    files = [name for name in configs_of(options["config_file"]) if "/" in name]  # others are the reader's own
    for name in files:
        assert (ROOT / name).is_file(), f"there is no {name}"
    if function != "run":
        assert options.keys() <= inspect.signature(getattr(monai.bundle, function)).parameters.keys()
        return
    parser = parser_of(tuple(str(ROOT / name) for name in files))
    for key in options.keys() - RUN_OPTIONS:
        parent = key.rpartition("#")[0]  # such as a length that no file sets
        assert key in parser or (parent and parent in parser), f"the configuration has no {key}"
    run_id = command[4] if len(command) > 4 and not command[4].startswith("-") else "run"
    assert run_id in parser


def check_make(command: list[str]) -> None:
    for target in command[1:]:
        if "=" not in target and target != "...":
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"no target {target}"


def check_script(command: list[str]) -> None:
    source = (ROOT / command[1]).read_text()
    for option in options_of(command):
        assert f'"--{option}"' in source, f"{command[1]} has no --{option}"


def check(command: list[str]) -> None:
    if command[0] == "fetal-monai":
        check_fetal_monai(command)
    elif command[:3] == ["python", "-m", "monai.bundle"]:
        check_bundle(command)
    elif command[0] == "torchrun":
        check_bundle(["python", "-m", *command[command.index("monai.bundle") :]])
    elif command[0] == "make":
        check_make(command)
    elif command[0] == "python" and command[1].endswith(".py") and command[1].startswith("benchmarks/"):
        check_script(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_is_real_and_in_the_table(page):
    for found, command in FOUND:
        if found == page:
            assert head(command), f"docs/testing.md does not say who runs: {' '.join(command)}"
            try:
                check(command)
            except (AssertionError, KeyError, SyntaxError) as error:
                pytest.fail(f"{' '.join(command)}: {str(error).splitlines()[0]}", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_inside_sentences_are_real_too(page):
    prose = FENCE.sub("", page.read_text())
    for text in re.findall(r"`((?:fetal-monai|make) [^`]+)`", prose):
        if "..." not in text:
            check(text.split())


def test_the_table_names_tests_that_are_there_and_no_command_that_is_not_shown():
    shown = {head(command) for _, command in FOUND}
    for entry, how in table().items():
        assert entry in shown, f"no page shows {entry}"
        assert how.startswith("not run: ") or re.fullmatch(r"`tests/[\w/]+\.py`", how), how
        word = entry.split()[-1]
        for name in re.findall(r"`(tests/[\w/]+\.py)`", how):
            assert (ROOT / name).is_file(), f"there is no {name}"
            if not how.startswith("not run"):
                assert word.rpartition("/")[2] in (ROOT / name).read_text(), (
                    f"{name} does not look as if it ran {entry}"
                )


def job_files() -> dict[str, str]:
    return {language: block for _, language, block in FENCE.findall((ROOT / "docs/scale.md").read_text())}


def test_the_slurm_script_is_shell_and_its_command_is_real():
    script = job_files()["slurm"]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    command = shlex.split(script[script.index("torchrun") :])
    check(command)


def test_the_kubernetes_job_fits_its_service_and_its_command_is_real():
    service, job = yaml.safe_load_all(job_files()["yaml"])
    name, spec = job["metadata"]["name"], job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    command = [*container["command"], *container["args"]]
    check([part for word in command for part in word.split("=", 1)])
    assert service["spec"] == {"clusterIP": "None", "selector": {"job-name": name}}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert f"--rdzv_endpoint={name}-0.{pod['subdomain']}:29500" in command
    assert command[command.index("--nnodes") + 1] == str(spec["completions"]) == str(spec["parallelism"])
    assert command[command.index("--nproc_per_node") + 1] == str(container["resources"]["limits"]["nvidia.com/gpu"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("fetal-monai predcit X --out Y", "there is no command predcit"),
        ("fetal-monai predict X --outt Y", "outt"),
        ("python -m monai.bundle run training --config_file bundle/configs/trian.yaml", "there is no"),
        (
            "python -m monai.bundle run training --config_file bundle/configs/train.yaml --learning_rat 1",
            "learning_rat",
        ),
        ("python -m monai.bundle run traning --config_file bundle/configs/train.yaml", "traning"),
        (
            "torchrun -m monai.bundle run training --config_file bundle/configs/train.yaml --batchsize 1",
            "batchsize",
        ),
        ("make demmo", "no target demmo"),
        ("python benchmarks/accuracy.py DATA RUNS --recipe best", "has no --recipe"),
    ],
)
def test_a_wrong_command_is_found(wrong, why):
    with pytest.raises(AssertionError, match=why):
        check(wrong.split())
