"""Archives that fail: one message with cause and remedy, nothing half-written; what passes is tried again."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
import tracemalloc
from datetime import date

import pytest
from typer.testing import CliRunner

from archives import PASSWORD, TOKEN, USER, send
from fetal_monai.cli import app
from fetal_monai.dicomweb.archive import Archive, RemoteInstance, is_uid
from fetal_monai.dicomweb.connection import Connection, open_session
from fetal_monai.dicomweb.credentials import Credentials
from fetal_monai.dicomweb.faults import ArchiveError, ArchiveUnavailableError
from fetal_monai.errors import InputError
from fetal_monai.results.predict_from_archive import _place

STUDY = "1.2.3"
WHERE = RemoteInstance(STUDY, "1.2.4", "1.2.5")
QUICK = {"pause_s": 0.0, "silence_s": 0.5, "connect_s": 2.0}
MULTIPART = 'multipart/related; type="application/dicom"; boundary=cut'


def wrapped(content, kind=b"application/dicom"):
    return b"--cut\r\nContent-Type: " + kind + b"\r\n\r\n" + content + b"\r\n--cut--\r\n"


def listing(**values):
    return json.dumps([{tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}]).encode()


def listen(servers, body=b"", status=200, kind="application/dicom+json", **headers):
    return servers(lambda handler: send(handler, body, status, kind, **headers))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": 401, "kind": "text/html"}, r"wants to know who asks \(401\); set FETAL_MONAI_DICOMWEB_USER and"),
        ({"status": 403}, r"does not allow this \(403, .+\); ask its administrator"),
        ({"status": 404}, r"has nothing there \(404, /dicom-web/studies/1.2.3/series\); check the UID; give the URL"),
        (
            {"status": 302, "Location": "https://login.example/?next=secret"},
            r"sends elsewhere, to https://login.example \(",
        ),
        (
            {"body": b"<html>", "kind": "text/html; charset=utf-8"},
            r"a web page \(HTML\).+often ends in /dicom-web or /rs",
        ),
        ({"body": b"{oops"}, r"is no DICOM JSON; give the URL of the DICOMweb service"),
        ({"body": b"[1, 2]"}, r"is no DICOM JSON"),
        ({"body": b'"text"'}, r"is no DICOM JSON"),
        ({"body": b"[" * 100_000}, r"is no DICOM JSON"),
        ({"body": b"\xff\xfe"}, r"is no DICOM JSON"),
        ({"body": b"[]"}, r"has no study 1.2.3; check the UID, and your right to see it"),
        ({"status": 204}, r"has no study 1.2.3"),
        ({"body": listing(**{"00080060": "US"})}, r"lists '' where a UID belongs"),
        ({"body": listing(**{"0020000E": "../../etc/passwd"})}, r"lists '../../etc/passwd' where a UID belongs"),
        ({"body": listing(**{"0020000E": "1.2", "00080060": "MR"})}, r"no ultrasound in it, only MR; choose another"),
        ({"status": 501}, r"answers Not Implemented \(501, .+\); check the URL"),
    ],
)
def test_what_a_search_may_meet(servers, answer, message):
    url, requests = listen(servers, **answer)
    with pytest.raises(ArchiveError, match=message):
        Archive(Connection(url, **QUICK)).instances(STUDY)
    assert len(requests) <= 2
    assert "secret" not in message


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"<html>", "text/html", r"a web page \(HTML\)"),
        (b"{}", "application/json", r"answers with application/json instead of DICOM"),
        (b"x", None, r"instead of DICOM"),
        (wrapped(b"<html>log in</html>", b"text/html"), MULTIPART, r"1.2.5 is no DICOM file"),
        (wrapped(bytes(128) + b"DICM")[:-12], MULTIPART, r"breaks off in the middle of an instance"),
        (b"--cut--\r\n", MULTIPART, r"holds no instance"),
        (b"", MULTIPART, r"holds no instance"),
        (bytes(1 << 18), MULTIPART, r"does not begin like multipart DICOM"),
        (b"short", "application/dicom", r"1.2.5 is no DICOM file"),
    ],
)
def test_what_a_retrieval_may_meet(servers, tmp_path, body, kind, message):
    url, _ = listen(servers, body, kind=kind)
    with pytest.raises(ArchiveError, match=message):
        Archive(Connection(url, **QUICK)).retrieve(WHERE, tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


def test_another_instance_than_the_one_asked_for(servers, files, tmp_path):
    with open(files[0], "rb") as file:  # noqa: PTH123
        url, _ = listen(servers, wrapped(file.read()), kind=MULTIPART)
    with pytest.raises(ArchiveError, match=r"sends another instance than the one it was asked for \(1.2.5\)"):
        Archive(Connection(url, **QUICK)).retrieve(WHERE, tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


def test_an_answer_shorter_than_it_promises_is_asked_for_again(servers, tmp_path):
    url, requests = listen(servers, bytes(128) + b"DICM", kind="application/dicom", Content_Length=1000)
    with pytest.raises(ArchiveError, match="the answer breaks off before its end; try again"):
        Archive(Connection(url, **QUICK)).retrieve(WHERE, tmp_path / "a.dcm")
    assert len(requests) == Connection(url).attempts
    assert not list(tmp_path.iterdir())


def chunks(handler, piece, kind, pause=0.0):
    send(handler, kind=kind, Content_Length=None, Transfer_Encoding="chunked")
    while True:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(pause)


def test_an_answer_without_an_end_is_given_up(servers, tmp_path):
    """By bytes, in a listing and in a file; by time, where it only trickles; none fills memory or disk."""
    url, _ = servers(lambda handler: chunks(handler, b" " * 4096, "application/dicom+json"))
    with pytest.raises(ArchiveError, match="has no end: given up at 100000 bytes"):
        Archive(Connection(url, answer_bytes=100_000, **QUICK)).instances(STUDY)
    url, _ = servers(lambda handler: chunks(handler, bytes(4096), "application/dicom"))
    with pytest.raises(ArchiveError, match="has no end: given up at 100000 bytes"):
        Archive(Connection(url, stream_bytes=100_000, **QUICK)).retrieve(WHERE, tmp_path / "a.dcm")
    url, _ = servers(lambda handler: chunks(handler, b"x", "application/dicom", pause=0.05))
    with pytest.raises(ArchiveError, match="has no end: given up at 1 s"):
        Archive(Connection(url, answer_s=1.0, **QUICK)).retrieve(WHERE, tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


def test_a_long_instance_is_never_whole_in_memory(servers, tmp_path):
    size, piece = 16 << 20, b"\xff" * (1 << 16)

    def respond(handler):
        head = b"--cut\r\n\r\n" + bytes(128) + b"DICM"
        send(handler, head, kind=MULTIPART, Content_Length=len(head) + size + len(b"\r\n--cut--"))
        for _ in range(size // len(piece)):
            handler.wfile.write(piece)
        handler.wfile.write(b"\r\n--cut--")

    url, _ = servers(respond)
    archive = Archive(Connection(url, **QUICK))
    tracemalloc.start()
    archive.retrieve(WHERE, tmp_path / "a.dcm")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.dcm").stat().st_size == 132 + size
    assert peak < 4 << 20


def test_a_listing_that_never_ends_is_given_up(servers, monkeypatch):
    monkeypatch.setattr("fetal_monai.dicomweb.archive.MOST_INSTANCES", 20)
    numbers = iter(range(1, 1_000_000))
    url, requests = servers(lambda handler: send(handler, listing(**{"0020000E": f"1.2.{next(numbers)}"})))
    with pytest.raises(ArchiveError, match="lists more than 20 items"):
        Archive(Connection(url, **QUICK)).instances(STUDY)
    assert len(requests) == 21


def test_an_archive_that_knows_no_pages_is_asked_twice(servers):
    url, requests = listen(servers, listing(**{"0020000D": STUDY, "00080020": "20240101", "00080061": "US"}))
    assert Archive(Connection(url, **QUICK)).studies_since(_day(2024)) == [STUDY]
    assert len(requests) == 2
    assert Archive(Connection(url, **QUICK)).studies_since(_day(2025)) == []


@pytest.mark.parametrize(("modality", "count"), [("US", 1), ("IVUS", 1), ("CT", 0)])
def test_a_study_of_either_kind_of_ultrasound_is_listed(servers, modality, count):
    url, _ = listen(servers, listing(**{"0020000D": STUDY, "00080020": "20240101", "00080061": modality}))
    assert len(Archive(Connection(url, **QUICK)).studies_since(_day(2024))) == count


def test_a_temporary_folder_that_cannot_be_made_is_a_failure_of_one_study(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="no temporary folder can be made"), _place(None):
        pass


def _day(year):
    return date(year, 1, 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_and_no_more_often_than_that(servers, status):
    states = [status, status, 200, 200]

    def respond(handler):
        send(handler, listing(**{"0020000D": STUDY}) if states[0] == 200 else b"", states.pop(0) if states else 200)

    url, requests = servers(respond)
    assert Archive(Connection(url, **QUICK)).studies_since(_day(2024)) == [STUDY]
    assert len(requests) == 4
    url, requests = listen(servers, status=status)
    with pytest.raises(ArchiveError, match=rf"\({status}, .+\); try again later"):
        Archive(Connection(url, **QUICK)).instances(STUDY)
    assert len(requests) == 4


def test_silence_is_given_up(servers):
    url, requests = servers(lambda _: time.sleep(1.5))
    with pytest.raises(ArchiveError, match="does not answer in time"):
        Archive(Connection(url, attempts=2, **QUICK)).instances(STUDY)
    assert len(requests) == 2


def test_nobody_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(
        ArchiveUnavailableError, match=rf"127.0.0.1:{port}: cannot be reached \(ConnectionError\); check"
    ):
        Archive(Connection(f"http://127.0.0.1:{port}/dicom-web", **QUICK)).instances(STUDY)


def test_tls_where_there_is_none_and_a_certificate_of_another_name(servers, certificates):
    url, _ = listen(servers, b"[]")
    with pytest.raises(ArchiveUnavailableError, match="speaks no TLS there; begin the URL with http://"):
        Archive(Connection(url.replace("http:", "https:"), **QUICK)).instances(STUDY)
    url, _ = servers(lambda handler: send(handler, b"[]"), certificates.other)
    with pytest.raises(
        ArchiveUnavailableError, match=r"not trusted \(.*mismatch.*\); use the name that the certificate"
    ):
        Archive(Connection(url, ca=certificates.ca, **QUICK)).instances(STUDY)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://pacs/dicom-web", "does not begin with http:// or https://"),
        ("pacs/dicom-web", "does not begin with http:// or https://"),
        ("https://", "does not begin with http:// or https://"),
        ("https://pacs:99999/x", "its host or port is not right"),
        ("https://me:hush@pacs/x", "a user or password in the URL would end in logs"),
        ("https://pacs/x?token=hush", r"has no \? and no #"),
    ],
)
def test_urls_that_cannot_be(url, message):
    with pytest.raises(InputError, match=message) as caught:
        open_session(Connection(url))
    assert "hush" not in str(caught.value)


def test_certificate_files_that_cannot_be(certificates, tmp_path):
    (tmp_path / "no.pem").write_text("no certificate")
    url = "https://pacs/x"
    for options, message in (
        (
            {"ca": tmp_path / "nowhere.pem"},
            "cannot be read (No such file or directory); give a PEM file of certificates",
        ),
        ({"ca": tmp_path / "no.pem"}, "give a PEM file of certificates to trust"),
        ({"client_cert": certificates.client}, "give PEM: a certificate with its key, which is not encrypted"),
        ({"client_cert": certificates.client, "client_key": certificates.server}, "key values mismatch"),
        ({"client_key": certificates.client_key}, "a key without its certificate; give --client-cert, too"),
    ):
        with pytest.raises(InputError) as caught:
            open_session(Connection(url, **options))
        assert message in str(caught.value)


def test_nothing_secret_is_logged(servers, caplog):
    caplog.set_level(logging.DEBUG)
    url, requests = listen(servers, b"", status=503)
    for who in (Credentials(USER, PASSWORD), Credentials(token=TOKEN)):
        with pytest.raises(ArchiveError) as caught:
            Archive(Connection(url, who, **QUICK)).instances(STUDY)
        said = caplog.text + str(caught.value) + repr(who) + repr(Connection(url, who))
        assert "attempt 1 of 4" in said
        assert PASSWORD not in said
        assert TOKEN not in said
        assert "Authorization" not in said
    assert "Authorization" in requests[0][1]


def test_secrets_in_the_clear_are_warned_of(caplog):
    open_session(Connection("http://pacs.example/dicom-web", Credentials(token=TOKEN)))
    assert "without TLS, what is secret travels in the clear; use https" in caplog.text


def test_an_archive_that_goes_away_costs_what_is_not_done_only(
    servers, proxy, studies, model_dir, tmp_path, monkeypatch
):
    """The first study is done, the second cannot be asked for, the third is not tried; later both are done."""
    first, second, third = studies
    monkeypatch.setenv("FETAL_MONAI_DICOMWEB_TOKEN", TOKEN)
    open_doors = [True]

    def respond(handler):
        open_doors[0] = open_doors[0] and second not in handler.path
        return proxy(handler) if open_doors[0] else send(handler, status=401)

    url, _ = servers(respond)
    command = ["predict", "--dicomweb", url, "--out", tmp_path / "out", "--device", "cpu", "--no-explain"]
    command += ["--model", model_dir, *(word for uid in studies for word in ("--study", uid))]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 3, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {first, "studies.csv", "index.html"}
    assert f"study {second}: {url.removesuffix('/dicom-web')}: refuses the user name" in done.output
    assert f"study {third}: not tried: " in done.output
    second = "nothing in any path"
    open_doors[0] = True
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*studies, "studies.csv", "index.html"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give files or folders, or --dicomweb URL"),
        (("a.dcm", "--dicomweb", "http://x", "--study", "1"), "not both"),
        (("--dicomweb", "http://x"), "needs either --study UID or --since DATE"),
        (("--dicomweb", "http://x", "--study", "1", "--since", "2024-01-01"), "either --study UID or --since DATE"),
        (("a.dcm", "--study", "1"), "need --dicomweb URL"),
    ],
)
def test_wrong_usage(words, message, tmp_path):
    done = CliRunner().invoke(app, ["predict", *words, "--out", str(tmp_path / "out")], env={"COLUMNS": "300"})
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_without_the_package_the_extra_is_named(tmp_path, model_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "dicomweb_client", None)
    monkeypatch.delitem(sys.modules, "fetal_monai.dicomweb.archive")
    words = ["predict", "--dicomweb", "http://127.0.0.1:9", "--study", "1.2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--model", str(model_dir)])
    assert (done.exit_code, "pip install 'fetal_monai[dicomweb]'" in done.output) == (1, True)


def test_a_study_that_is_no_uid_is_told_before_anything_is_asked(tmp_path, model_dir):
    words = ["predict", "--dicomweb", "http://127.0.0.1:9", "--study", "../x", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--model", str(model_dir)])
    assert (done.exit_code, "'../x' is no StudyInstanceUID" in done.output) == (1, True)


@pytest.mark.parametrize("text", ["", ".", "..", "1.", "1..2", "1/2", "1\n", "\u0661.2", "1" * 65, "a", "1.2.*", "~1"])
def test_nothing_but_a_uid_is_one(text):
    assert not is_uid(text)
