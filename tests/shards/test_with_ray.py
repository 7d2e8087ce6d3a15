"""On a cluster of two workers: the same as without Ray, whoever dies, however often it is stopped."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from deadly import WatchedClassifier
from fetal_monai.cli import app
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.shards import listing
from fetal_monai.shards import predict as module
from fetal_monai.shards.predict import predict_to_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\."),  # it copies settings of its own that are old
]
ray = pytest.importorskip("ray", reason="fetal_monai[ray] is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="fetal_monai[ray] is not installed")


@pytest.fixture(scope="module", autouse=True)
def cluster(root):
    """Two workers; the helpers of the tests are theirs, too."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    path = os.pathsep.join([str(root), str(root / "tests/helpers")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield
    ray.shutdown()


@pytest.fixture
def archive(phantom, tmp_path):
    """Sixty files of the phantom, stills and clips, with a broken one and a text."""
    folder = tmp_path / "in"
    folder.mkdir()
    for entry in index_dicom(phantom).values():
        shutil.copy(entry.path, folder)
    (folder / "cut.dcm").write_bytes(b"not much")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(module, "PartClassifier", WatchedClassifier)


def rows(out):
    found = [row for path in sorted(out.glob("part-*")) for row in parquet.read_table(path).to_pylist()]
    return {(row["source"], row["frame"]): row for row in found}


def who_did(tmp_path):
    return {path.name: path.read_text().split() for path in (tmp_path / "seen").iterdir() if path.name.isdigit()}


def run(*words):
    return CliRunner().invoke(app, ["predict", *map(str, words), "--device", "cpu"])


def test_the_same_as_without_ray(archive, evaluated_model, tmp_path):
    """Labels, probabilities, sets and scores of a model that gives them all."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    one = run(archive, "--out", alone, "--model", evaluated_model, "--every-frame", "--no-explain")
    two = run(archive, "--out", together, "--model", evaluated_model, "--ray")
    assert (one.exit_code, two.exit_code) == (3, 3), one.output + two.output
    assert "1 files or frames could not be read" in two.output
    assert "1 files passed over: no ultrasound images" in two.output
    content = json.loads((alone / "predictions.json").read_text())
    found = rows(together)
    assert sum(row["state"] == "classified" for row in found.values()) == len(content["images"]) > 60
    assert len({image["label"] for image in content["images"]}) > 1
    for image in content["images"]:
        row = found[image["source"], image["frame"]]
        for name in ("sop_instance_uid", "label", "top", "conformal_set", "out_of_distribution"):
            assert row[name] == image[name]
        assert row["ood_score"] == pytest.approx(image["ood_score"], abs=1e-4)
        for name, probability in image["probabilities"].items():
            assert row[name] == pytest.approx(probability, abs=1e-6)
    described = json.loads((together / "archive.json").read_text())
    assert described["decisions"] == content["decisions"]
    assert described["class_names"] == content["class_names"]
    assert {path.name for path in together.iterdir() if path.name.startswith(".")} == set()


def test_going_on_does_what_is_left(archive, model_dir, tmp_path, watched, new_model, class_names):
    some = sorted(archive.iterdir())[:30]
    first = predict_to_shards(some, model_dir, tmp_path / "out", device="cpu")
    before = rows(tmp_path / "out")
    assert (first.files, first.there, first.unsettled) == (30, 0, 0)
    assert not (tmp_path / "seen").exists()  # files that were named are not judged, and so not watched
    second = predict_to_shards([archive], model_dir, tmp_path / "out", device="cpu")
    assert (second.files, second.there, second.unsettled) == (len(list(archive.iterdir())) - 30, 30, 0)
    seen = [name for names in who_did(tmp_path).values() for name in names]
    assert sorted(seen) == sorted({path.name for path in archive.iterdir()} - {path.name for path in some})
    after = rows(tmp_path / "out")
    assert all(after[key] == row for key, row in before.items())
    third = predict_to_shards([archive], model_dir, tmp_path / "out", device="cpu")
    assert (third.files, third.counts.images) == (0, 0)
    other = new_model(tmp_path / "other", class_names, seed=7)
    with pytest.raises(InputError, match="holds predictions of another model"):
        predict_to_shards([archive], other, tmp_path / "out", device="cpu")
    assert rows(tmp_path / "out") == after


def test_a_killed_workers_files_are_done_by_another(archive, model_dir, tmp_path, watched, monkeypatch):
    """SIGKILL in the middle of a part: all files are there, none twice, and nobody died a second time."""
    monkeypatch.setattr(listing, "FIRST_PART", 16)
    expected = predict_to_shards([archive], model_dir, tmp_path / "whole", device="cpu")
    shutil.rmtree(tmp_path / "seen")
    victim = sorted(archive.glob("2.*"))[7]
    victim.rename(archive / "once.dcm")
    summary = predict_to_shards([archive], model_dir, tmp_path / "out", device="cpu")
    assert (tmp_path / "seen/once").exists()
    assert summary.counts == expected.counts
    found = rows(tmp_path / "out")
    assert {os.path.basename(source) for source, _ in found} == {path.name for path in archive.iterdir()}  # noqa: PTH119
    whole = rows(tmp_path / "whole")
    assert len(found) == len(whole)
    for (source, frame), row in found.items():
        twin = whole[source.replace("once.dcm", victim.name), frame]
        assert row["state"] == twin["state"]
        if row["state"] == "classified":
            np.testing.assert_allclose(row["confidence"], twin["confidence"], atol=1e-5)
    killed = [names for names in who_did(tmp_path).values() if names[-1] == "once.dcm"]
    assert len(killed) == 1
    later = [name for names in who_did(tmp_path).values() for name in names if names is not killed[0]]
    assert set(killed[0]) & set(later) >= {"once.dcm"}


def test_a_file_that_kills_every_worker_is_a_row_with_its_reason(archive, model_dir, tmp_path, watched):
    sorted(archive.glob("2.*"))[3].rename(archive / "deadly.dcm")
    summary = predict_to_shards([archive], model_dir, tmp_path / "out", device="cpu")
    assert summary.counts.failed == 2
    found = rows(tmp_path / "out")
    (row,) = [row for (source, _), row in found.items() if source.endswith("deadly.dcm")]
    assert (row["state"], "3 workers died over it" in row["reason"]) == ("failed", True)
    assert {os.path.basename(source) for source, _ in found} == {path.name for path in archive.iterdir()}  # noqa: PTH119


def test_what_a_worker_cannot_write_ends_it_with_one_message(archive, model_dir, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.journal").write_text("a file where a folder has to be")
    with pytest.raises(
        FetalMonaiError, match=r"part-\w+\.parquet: 1 problem\n  cannot be written: .+; make room for it"
    ):
        predict_to_shards([archive], model_dir, tmp_path / "out", device="cpu")


def test_mistakes_are_one_message(archive, model_dir, tmp_path):
    done = run(tmp_path / "nowhere", "--out", tmp_path / "out", "--model", model_dir, "--ray")
    assert (done.exit_code, "nowhere does not exist" in done.output) == (1, True)
    done = run(archive, "--out", tmp_path / "out", "--model", tmp_path, "--ray")
    assert (done.exit_code, "model.json" in done.output) == (1, True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", "--out", tmp_path / "out", "--model", model_dir, "--ray")
    assert (done.exit_code, "there is no file in it" in done.output) == (1, True)
    done = run(archive, "--out", tmp_path / "out", "--ray", "--sr")
    assert (done.exit_code, "leave" in done.output) == (2, True)
