"""How the node is deployed, as far as that can be checked without Docker's daemon and without systemd as process 1."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from fetal_monai.cli import app

SERVICE = "deploy/fetal-monai-node.service"


@pytest.fixture(scope="module")
def compose(root):
    return yaml.safe_load((root / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def unit(root):
    """Settings of the service; one that is given twice has both values."""
    text = re.sub(r"\\\n\s*", "", (root / SERVICE).read_text())
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def node_options(command):
    """What a command line says to `fetal-monai node`, understood as the program itself would."""
    place = command.index("node")
    parser = typer.main.get_command(app).commands["node"]
    context = parser.make_context("node", list(command[place + 1 :]))  # fails for an option that does not exist
    return context.params


def test_compose_is_what_the_specification_says(root):
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, root / "docker-compose.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_is_confined_and_published_on_this_machine_only(compose):
    node = compose["node"]
    assert node["read_only"] is True
    assert node["user"] == "1000:1000"
    assert node["cap_drop"] == ["ALL"]
    assert not node.get("privileged")
    for service in compose.values():
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "latest" not in compose["orthanc"]["image"]
    assert ":" in compose["orthanc"]["image"]


def test_the_container_runs_a_node_that_can_be_asked_for_its_health(compose, root):
    node = compose["node"]
    options = node_options(node["command"])
    port, status = options["port"], options["status_port"]
    assert {f"127.0.0.1:{port}:{port}", f"127.0.0.1:{status}:{status}"} == set(node["ports"])
    assert f"http://127.0.0.1:{status}/health" in node["healthcheck"]["test"][-1]
    assert [volume.split(":")[1] for volume in node["volumes"]] == [str(options["storage"])]
    dockerfile = (root / "Dockerfile").read_text()
    assert re.search(rf"mkdir --mode 0700 {options['storage']}\b", dockerfile)
    assert re.search(rf"chown fetal .*{options['storage']}\b", dockerfile)
    assert "ORTHANC" in options["allow"]
    compile(node["healthcheck"]["test"][-1], "health", "exec")


def test_the_image_has_what_the_node_needs(root):
    extras = re.search(r"\.\[([a-z0-9,]+)\]", (root / "Dockerfile").read_text())[1].split(",")
    assert {"node", "dicomweb", "engines"} <= set(extras)


def test_the_service_runs_a_node_and_is_confined(unit):
    command = shlex.split(unit["ExecStart"][0].replace("${STATE_DIRECTORY}", "/var/lib/fetal_monai"))
    options = node_options(command)
    assert str(options["storage"]) == "/var/lib/" + unit["StateDirectory"][0]
    assert options["host"] == "127.0.0.1"
    for name, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "Restart": "on-failure",
        "CapabilityBoundingSet": "",
        "StateDirectoryMode": "0700",
    }.items():
        assert unit[name] == [value]


def test_systemd_understands_the_service(root, tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    copy = tmp_path / Path(SERVICE).name
    # The program is not installed where it will be.
    copy.write_text((root / SERVICE).read_text().replace("/opt/fetal_monai/bin/fetal-monai", "/bin/true"))
    done = subprocess.run([program, "verify", copy], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if copy.name in line]
    assert (done.returncode, told) == (0, [])
    security = [program, "security", "--offline=true", "--threshold=20", copy]  # tenths
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd judges no file: it needs 250 or later")
    assert done.returncode == 0, done.stdout[-400:]
