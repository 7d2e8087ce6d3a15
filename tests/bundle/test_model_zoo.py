"""What the Model Zoo's continuous integration asks of a bundle, asked of the copy that would be handed in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser, download_large_files

import fetal_monai
from fetal_monai.utils.bundle import copy_bundle

LIMIT = 25 * 2**20
IDS = {
    "train.yaml": (
        *("bundle_root", "device", "dataset_dir", "output_dir", "val_interval"),
        *(f"train#{name}" for name in ("trainer", "trainer#max_epochs", "dataset", "dataset#data", "handlers")),
        *(f"train#{name}" for name in ("preprocessing", "postprocessing", "inferer", "key_metric")),
        *(f"validate#{name}" for name in ("evaluator", "dataset", "dataset#data", "handlers")),
        *(f"validate#{name}" for name in ("preprocessing", "postprocessing", "inferer", "key_metric")),
    ),
    "inference.yaml": ("bundle_root", "device", "network_def", "inferer", "output_dir"),
}


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_bundle(tmp_path_factory.mktemp("models") / "fetal_ultrasound_plane_classification")


def test_nothing_that_is_asked_for_is_missing(submission):
    for name in ("LICENSE", "large_files.yml", "docs/README.md", "docs/data_license.txt", "configs/metadata.json"):
        assert (submission / name).stat().st_size > 0, name
    assert "CC BY 4.0" in (submission / "docs/data_license.txt").read_text()
    sizes = {path: path.stat().st_size for path in submission.rglob("*") if path.is_file()}
    assert max(sizes.values()) < LIMIT


def test_large_files_are_none_and_the_zoos_tool_says_so_too(submission, monkeypatch):
    monkeypatch.setattr("monai.bundle.scripts.download_url", lambda **_: pytest.fail("nothing is to be fetched"))
    before = sorted(submission.rglob("*"))
    download_large_files(bundle_path=str(submission))
    assert sorted(submission.rglob("*")) == before


@pytest.mark.parametrize("config", IDS)
def test_ids_are_named_as_the_zoo_names_them(submission, config):
    parser = ConfigParser()
    parser.read_config(submission / "configs" / config)
    for name in IDS[config]:
        assert name in parser, name
    if config == "train.yaml":
        (handler,) = (h for h in parser["train#handlers"] if h["_target_"] == "ValidationHandler")
        assert handler["interval"] == "@val_interval"


def test_metadata_tells_version_changes_and_the_package_it_needs(submission):
    meta = json.loads((submission / "configs/metadata.json").read_text())
    assert meta["version"] == fetal_monai.__version__ == meta["required_packages_version"]["fetal_monai"]
    assert meta["version"] in meta["changelog"]
    for name in ("name", "task", "description", "authors", "copyright", "network_data_format"):
        assert meta[name], name


def test_no_config_names_a_place_on_somebodys_machine(submission):
    for path in (submission / "configs").rglob("*.yaml"):
        yaml.safe_load(path.read_text())
        for home in ("/home/", "/root/", "/work/", "/Users/"):
            assert home not in path.read_text(), path
