"""The node before a DICOMweb service that wants to know who asks, and one that answers anything."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from archives import PASSWORD, TOKEN, USER, orthanc
from fetal_monai.apps.node.destinations import Unreachable, parse_destination
from fetal_monai.errors import InputError
from node_peers import AET, still

pytest.importorskip("dicomweb_client", reason="fetal_monai[node] is not installed")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"FETAL_MONAI_DICOMWEB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))


def send(url, path, auth_file=None):
    """What becomes of one document: arrived, or the answer of who refused it."""
    told = []
    destination = parse_destination(url, AET, tls=lambda: None, auth_file=auth_file)
    destination.send([path], lambda *_: told.append("arrived"), lambda _, answer: told.append(answer))
    return told[0]


@contextmanager
def answering(status, **headers):
    """A service that answers everything alike; yields its URL and what it was told of who asks."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["Authorization"])
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_orthanc_lets_in_who_says_so_in_any_of_three_places(tmp_path, monkeypatch):
    path = still(tmp_path / "a.dcm", 1)
    with orthanc(tmp_path) as archive:
        with pytest.raises(Unreachable, match=r"who asks \(401\).*FETAL_MONAI_DICOMWEB_USER"):
            send(archive.url, path)
        (tmp_path / "auth").write_text(f"user: {USER}\npassword: {PASSWORD}\n")
        assert send(archive.url, path, tmp_path / "auth") == "arrived"
        monkeypatch.setenv("FETAL_MONAI_DICOMWEB_USER", USER)
        monkeypatch.setenv("FETAL_MONAI_DICOMWEB_PASSWORD", "wrong secret")
        with pytest.raises(Unreachable, match="refuses") as caught:
            send(archive.url, path)
        assert "wrong secret" not in str(caught.value)
        monkeypatch.setenv("FETAL_MONAI_DICOMWEB_PASSWORD", PASSWORD)
        assert send(archive.url, path) == "arrived"


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503, 302])
def test_a_service_that_does_not_serve_is_waited_for(tmp_path, status):
    path = still(tmp_path / "a.dcm", 1)
    (tmp_path / "auth").write_text(f"token: {TOKEN}\n")
    with answering(status, Location="http://elsewhere.example/") as (url, asked):
        with pytest.raises(Unreachable) as caught:
            send(url, path, tmp_path / "auth")
        assert asked == [f"Bearer {TOKEN}"]  # once: nobody was sent elsewhere
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [400, 409, 413, 415])
def test_a_document_that_is_not_wanted_is_refused(tmp_path, status):
    with answering(status) as (url, _):
        assert send(url, still(tmp_path / "a.dcm", 1)) == f"refused with HTTP status {status}"


def test_mistakes_are_told_at_the_start(tmp_path):
    (tmp_path / "half").write_text("user: reader\n")
    for url, file, words in (
        ("https://host/dicom-web", "half", "password:"),
        ("https://host/dicom-web", "none", "cannot be read"),
        ("dicom://A@host:104", "half", "is for a DICOMweb service"),
        ("https://reader:hush@host/dicom-web", "half", "--auth-file"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            parse_destination(url, AET, tls=lambda: None, auth_file=tmp_path / file)
        assert "hush" not in str(caught.value)
    with pytest.raises(InputError, match="PEM"):
        parse_destination("https://host/dicom-web", AET, tls=lambda: None, verify=tmp_path / "half")
