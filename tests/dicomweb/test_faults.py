"""Archives that fail: one message with cause and remedy, nothing half-written; what passes is tried again."""

from __future__ import annotations

import time
import tracemalloc
from datetime import date

import pytest

from archives import QUICK, STUDY, listen, listing, send
from fetal_monai.dicomweb.archive import Archive, RemoteInstance, is_uid
from fetal_monai.dicomweb.connection import Connection
from fetal_monai.dicomweb.faults import ArchiveError

WHERE = RemoteInstance(STUDY, "1.2.4", "1.2.5")
MULTIPART = 'multipart/related; type="application/dicom"; boundary=cut'


def wrapped(content, kind=b"application/dicom"):
    return b"--cut\r\nContent-Type: " + kind + b"\r\n\r\n" + content + b"\r\n--cut--\r\n"


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


@pytest.mark.parametrize("sent", [None, b"[", b""], ids=["at once", "in mid-answer", "after the headers"])
def test_silence_is_given_up(servers, sent, tmp_path):
    def respond(handler):
        if sent is not None:
            kind = MULTIPART if handler.path.endswith("/1.2.5") else "application/dicom+json"
            send(handler, sent, kind=kind, Content_Length=100)
            handler.wfile.flush()
        time.sleep(1.5)

    url, requests = servers(respond)
    with pytest.raises(ArchiveError, match="does not answer in time"):
        Archive(Connection(url, attempts=2, **{**QUICK, "silence_s": 0.5})).instances(STUDY)
    assert len(requests) == 2
    with pytest.raises(ArchiveError, match="does not answer in time"):
        Archive(Connection(url, attempts=2, **{**QUICK, "silence_s": 0.5})).retrieve(WHERE, tmp_path / "a.dcm")
    assert len(requests) == 4


@pytest.mark.parametrize("text", ["", ".", "..", "1.", "1..2", "1/2", "1\n", "\u0661.2", "1" * 65, "a", "1.2.*", "~1"])
def test_nothing_but_a_uid_is_one(text):
    assert not is_uid(text)
