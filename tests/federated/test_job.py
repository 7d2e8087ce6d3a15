"""NVFlare's job: what it carries, and a simulation of it from the start to model folders that predict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.federated import federated_averaging, job, write_global, write_start
from fetal_monai.federated.site import pack, unpack
from fetal_monai.model.folder import load_model

SIMULATION = """
import json, sys
from fetal_monai.federated import federated_averaging
from nvflare.recipe.sim_env import SimEnv

start, settings, sites, workspace = sys.argv[1:]
recipe = federated_averaging(start, json.loads(settings), rounds=1, sites=json.loads(sites))
recipe.execute(SimEnv(clients=list(json.loads(sites)), workspace_root=workspace))
"""


@pytest.fixture
def start(tiny_site, tmp_path) -> Path:
    return write_start(tmp_path / "start", [tiny_site])


def test_the_start_has_the_configurations_network_and_no_data(start, class_names):
    network, preprocessing, facts = load_model(start)
    assert facts.class_names == class_names
    assert facts.data == {}
    assert type(network).__name__ == "SingleBranchClassifier"
    assert [type(part).__name__ for part in preprocessing.transforms][-1] == "DualResolutiond"


@given(st.recursive(st.text() | st.integers() | st.booleans(), st.lists, max_leaves=5))
def test_settings_survive_as_one_word_that_nvflare_leaves_alone(value):
    word = pack({"options": value})
    assert unpack(word) == {"options": value}
    assert not set(word) & set(" \t\n{}$'\"\\")


def test_the_global_model_has_the_servers_weights(start, tmp_path):
    weights = torch.load(start / "model.pt", weights_only=True)
    changed = {name: value + 1 for name, value in weights.items()}
    torch.save({"model": changed, "train_conf": {"train": {"model": "x"}}}, tmp_path / "FL_global_model.pt")
    out = write_global(start, tmp_path / "FL_global_model.pt", tmp_path / "out")
    state = load_model(out)[0].state_dict()
    assert all(torch.equal(state[name], value) for name, value in changed.items())
    del changed["head.weight"]
    torch.save({"model": changed}, tmp_path / "FL_global_model.pt")
    with pytest.raises(InputError, match=r"head\.weight"):
        write_global(start, tmp_path / "FL_global_model.pt", tmp_path / "other")
    (tmp_path / "damaged.pt").write_bytes(b"PK\3\4 and no more")
    for name, said in (("damaged.pt", "damaged"), ("gone.pt", "there is no such file")):
        with pytest.raises(InputError, match=said):
            write_global(start, tmp_path / name, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_command_writes_a_job_that_carries_no_code_of_ours(start, tiny_site, tmp_path, monkeypatch, capsys):
    pytest.importorskip("nvflare", reason="a job needs the extra federated")
    options = ["--sites", "2", "--rounds", "6", "--configs", tiny_site, "--filters", "federated_local_norms.yaml"]
    monkeypatch.setattr(sys, "argv", ["fetal_monai.federated.job", str(start), str(tmp_path / "job"), *options])
    job.main()
    assert f"wrote {tmp_path / 'job'}" in capsys.readouterr().out
    files = [path for path in (tmp_path / "job").rglob("*") if path.is_file()]
    assert {path.name for path in files if path.suffix == ".py"} == {"nvflare_script.py"}
    (server,) = [path for path in files if path.name == "config_fed_server.json"]
    (client,) = [path for path in files if path.name == "config_fed_client.json"]
    workflow = json.loads(server.read_text())["workflows"][0]["args"]
    assert (workflow["num_clients"], workflow["num_rounds"]) == (2, 7)
    assert str(start / "model.pt") in server.read_text()
    assert "federated_local_norms.yaml" in client.read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_simulated_federation_ends_in_model_folders(start, sites, tiny_site, tmp_path):
    pytest.importorskip("nvflare", reason="a job needs the extra federated")
    places = {
        f"site{index}": {"data": str(data), "out": str(tmp_path / f"site{index}")} for index, data in enumerate(sites)
    }
    arguments = [str(start), json.dumps({"configs": [tiny_site]}), json.dumps(places), str(tmp_path / "workspace")]
    done = subprocess.run(
        [sys.executable, "-c", SIMULATION, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    (weights,) = (tmp_path / "workspace").rglob("FL_global_model.pt")
    whole = load_model(write_global(start, weights, tmp_path / "global"))[0].state_dict()
    begun = torch.load(start / "model.pt", weights_only=True)
    assert not torch.equal(whole["head.weight"], begun["head.weight"])
    for site in places:
        state = load_model(tmp_path / site / "model")[0].state_dict()
        for name, value in state.items():
            torch.testing.assert_close(value, whole[name], atol=1e-5, rtol=1e-4)
    command = [sys.executable, "-m", "fetal_monai"]
    found = subprocess.run(
        [*command, "predict", str(sites[0]), "--model", str(tmp_path / "global"), "--out", str(tmp_path / "results")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert (tmp_path / "results" / "predictions.csv").exists()


def test_a_missing_nvflare_is_named_with_its_extra(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "nvflare.app_opt.pt.recipes.fedavg", None)
    with pytest.raises(FetalMonaiError, match=r"pip install 'fetal_monai\[federated\]'"):
        federated_averaging(start, {}, rounds=1, sites=2)
