"""A real archive gives what was stored, to those who may have it; and predictions from there are those of the files."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from archives import PASSWORD, TOKEN, USER
from fetal_monai.cli import app
from fetal_monai.dicomweb.archive import Archive, NoUltrasoundError
from fetal_monai.dicomweb.connection import Connection
from fetal_monai.dicomweb.credentials import Credentials
from fetal_monai.dicomweb.faults import ArchiveUnavailableError

WHO = Credentials(USER, PASSWORD)


def predict(archive, out, *arguments):
    command = ["predict", "--dicomweb", archive, "--out", out, "--device", "cpu", "--no-explain", *arguments]
    return CliRunner().invoke(app, [str(word) for word in command])


def same_but_for_the_place(left, right):
    """Compare two folders of results: every file, where the folder of the images may differ."""
    names = {path.relative_to(left) for path in left.rglob("*") if path.is_file()}
    assert names == {path.relative_to(right) for path in right.rglob("*") if path.is_file()}
    assert (left / "predictions.csv").read_bytes() == (right / "predictions.csv").read_bytes()
    for name in names:
        if name.suffix == ".json":
            one, other = (
                json.loads((folder / name).read_text(), object_hook=_without_place) for folder in (left, right)
            )
            assert one == other


def _without_place(item):
    return {key: Path(value).name if key == "source" else value for key, value in item.items()}


@pytest.fixture(scope="session")
def local(studies, model_dir, tmp_path_factory):
    """What `predict` writes of each study's files in a folder, as an archive would name them."""
    place = tmp_path_factory.mktemp("local")
    for uid, paths in studies.items():
        (place / "in" / uid).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, place / "in" / uid / f"{dcmread(path, stop_before_pixels=True).SOPInstanceUID}.dcm")
        command = ["predict", place / "in" / uid, "--out", place / "out" / uid, "--model", model_dir, "--device", "cpu"]
        done = CliRunner().invoke(app, [str(word) for word in [*command, "--no-explain"]])
        assert done.exit_code == 0, done.output
    return place


def test_every_instance_comes_as_it_was_stored(archive, studies, tmp_path, monkeypatch):
    """Byte by byte what the archive itself says it holds; compressed ones, too."""
    monkeypatch.setattr("fetal_monai.dicomweb.archive.PAGE", 2)
    source = Archive(Connection(archive.url, WHO))
    syntaxes = set()
    for uid, paths in studies.items():
        instances = source.instances(uid)
        assert len(instances) == len(paths)
        for instance in instances:
            path = tmp_path / f"{instance.uid}.dcm"
            source.retrieve(instance, path)
            found = archive.ask("/tools/lookup", instance.uid.encode())
            (stored,) = (item["ID"] for item in json.loads(found) if item["Type"] == "Instance")
            assert path.read_bytes() == archive.ask(f"/instances/{stored}/file")
            syntaxes.add(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    assert len(syntaxes) == 2
    assert not list(tmp_path.glob(".*"))


def test_the_results_are_those_of_the_files(archive, basic, studies, local, model_dir, tmp_path):
    uids = [word for uid in studies for word in ("--study", uid)]
    done = predict(archive.url, tmp_path, *uids, "--model", model_dir)
    assert done.exit_code == 0, done.output
    for uid in studies:
        same_but_for_the_place(tmp_path / uid, local / "out" / uid)
    with (tmp_path / "studies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["study_instance_uid"] for row in rows] == sorted(studies)
    assert all((tmp_path / row["report"]).is_file() for row in rows)
    assert all(row["report"] in (tmp_path / "index.html").read_text() for row in rows)
    assert {path.name for path in tmp_path.iterdir()} == {*studies, "studies.csv", "index.html"}
    assert PASSWORD not in done.output


def test_a_study_that_is_done_is_passed_over(
    archive, basic, studies, local, model_dir, tmp_path, new_model, class_names
):
    first, second, _ = studies
    shutil.copytree(local / "out" / first, tmp_path / "out" / first)
    before = (tmp_path / "out" / first / "predictions.json").stat().st_mtime_ns
    arguments = ("--study", first, "--study", second, "--study", "1.2.3.4")
    done = predict(archive.url, tmp_path / "out", *arguments, "--model", model_dir, "--keep", tmp_path / "kept")
    assert done.exit_code == 3, done.output
    assert "1 studies passed over: their results are in OUT" in done.output
    assert "has no study 1.2.3.4; check the UID" in done.output
    assert (tmp_path / "out" / first / "predictions.json").stat().st_mtime_ns == before
    same_but_for_the_place(tmp_path / "out" / second, local / "out" / second)
    assert not (tmp_path / "out/1.2.3.4").exists()
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {second}
    assert "1.2.3.4" in (tmp_path / "out/index.html").read_text()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "kept" / second).iterdir()}
    assert kept == {path.name: path.read_bytes() for path in (local / "in" / second).iterdir()}

    other = new_model(tmp_path / "other", class_names, seed=7)
    refused = predict(archive.url, tmp_path / "out", *arguments, "--model", other)
    assert refused.exit_code == 1
    assert "predictions of another model" in refused.output


def test_all_ultrasound_is_found_page_by_page(archive, studies, monkeypatch):
    monkeypatch.setattr("fetal_monai.dicomweb.archive.PAGE", 1)
    found = Archive(Connection(archive.url, WHO)).all_instances()
    stored = [dcmread(path, stop_before_pixels=True) for paths in studies.values() for path in paths]
    assert sorted(item.uid for item in found) == sorted(item.SOPInstanceUID for item in stored)
    clips = {item.SOPInstanceUID for item in stored if item.get("NumberOfFrames", 1) > 1}
    assert {item.uid for item in found if item.clip} == clips != set()


def test_since_finds_ultrasound_from_a_day_on_page_by_page(archive, studies, monkeypatch):
    days = {uid: dcmread(paths[0], stop_before_pixels=True).StudyDate for uid, paths in studies.items()}
    monkeypatch.setattr("fetal_monai.dicomweb.archive.PAGE", 1)
    source = Archive(Connection(archive.url, WHO))
    for day in {*days.values(), "19000101", "29991231"}:
        since = date(int(day[:4]), int(day[4:6]), int(day[6:]))
        assert sorted(source.studies_since(since)) == sorted(uid for uid, then in days.items() if then >= day)


def test_a_day_without_studies_is_no_mistake(archive, basic, model_dir, tmp_path):
    done = predict(archive.url, tmp_path / "out", "--since", "2999-12-31", "--model", model_dir)
    assert (done.exit_code, "no study with ultrasound since 2999-12-31" in done.output) == (0, True)
    assert not (tmp_path / "out").exists()


def test_other_modalities_are_passed_over(archive, basic, model_dir, tmp_path):

    uid = dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True).StudyInstanceUID
    with pytest.raises(NoUltrasoundError, match="no ultrasound in it, only CT"):
        Archive(Connection(archive.url, WHO)).instances(uid)
    done = predict(archive.url, tmp_path / "out", "--study", uid, "--model", model_dir)
    assert (done.exit_code, "no ultrasound" in done.output) == (1, True)
    assert not (tmp_path / "out").exists()


def test_strangers_are_told_what_to_do(archive, studies, tmp_path):
    with pytest.raises(ArchiveUnavailableError, match=r"wants to know who asks \(401\); set FETAL_MONAI_DICOMWEB_USER"):
        Archive(Connection(archive.url)).instances(next(iter(studies)))
    with pytest.raises(ArchiveUnavailableError, match=r"refuses the user name and password") as caught:
        Archive(Connection(archive.url, Credentials(USER, "wrong secret"))).instances(next(iter(studies)))
    assert "wrong secret" not in str(caught.value)


def test_netrc_opens_the_door(archive, studies, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert Archive(Connection(archive.url)).instances(next(iter(studies)))


def test_a_token_opens_the_door_whatever_netrc_says(servers, proxy, studies, local, model_dir, tmp_path, monkeypatch):
    url, requests = servers(proxy)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "token").write_text(f"token: {TOKEN}\n")
    uid = next(iter(studies))
    arguments = ("--study", uid, "--model", model_dir, "--auth-file", tmp_path / "token")
    done = predict(url, tmp_path / "out", *arguments)
    assert done.exit_code == 0, done.output
    same_but_for_the_place(tmp_path / "out" / uid, local / "out" / uid)
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, headers in requests)
    (tmp_path / "token").write_text("token: worn-out\n")
    done = predict(url, tmp_path / "new", *arguments)
    assert (done.exit_code, "refuses" in done.output, "worn-out" in done.output) == (1, True, False)
    assert not (tmp_path / "new").exists()


def test_tls_and_a_clients_certificate(certificates, servers, proxy, studies, local, model_dir, tmp_path, basic):
    """TLS ends at a proxy, as in most hospitals: Debian's Orthanc 1.10 dies at the first handshake."""
    url, _ = servers(proxy, certificates.server, certificates.ca)
    uid = next(iter(studies))
    cert = ("--client-cert", certificates.client, "--client-key", certificates.client_key)
    done = predict(url, tmp_path, "--study", uid, "--model", model_dir, "--ca", certificates.ca, *cert)
    assert done.exit_code == 0, done.output
    same_but_for_the_place(tmp_path / uid, local / "out" / uid)
    both = {"ca": certificates.ca, "client_cert": certificates.both}
    assert len(Archive(Connection(url, WHO, **both)).instances(uid)) == len(studies[uid])
    with pytest.raises(ArchiveUnavailableError, match=r"certificate is not trusted \(.+\); give .+ with --ca FILE"):
        Archive(Connection(url, WHO, client_cert=certificates.both)).instances(uid)
    with pytest.raises(ArchiveUnavailableError, match="give one that it trusts with --client-cert FILE"):
        Archive(Connection(url, WHO, ca=certificates.ca)).instances(uid)


def test_the_authority_that_is_named_counts_whatever_the_environment_says(
    certificates, servers, proxy, studies, monkeypatch
):
    url, _ = servers(proxy, certificates.server)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.client))
    uid = next(iter(studies))
    assert Archive(Connection(url, WHO, ca=certificates.ca)).instances(uid)
    with pytest.raises(ArchiveUnavailableError, match="is not trusted"):
        Archive(Connection(url, WHO)).instances(uid)
