"""The way to an archive: what is wrong with a URL, a certificate or a host is told, and no secret with it."""

from __future__ import annotations

import logging
import socket

import pytest

from archives import PASSWORD, QUICK, STUDY, TOKEN, USER, listen, send
from fetal_monai.dicomweb.archive import Archive
from fetal_monai.dicomweb.connection import Connection, open_session
from fetal_monai.dicomweb.credentials import Credentials
from fetal_monai.dicomweb.faults import ArchiveError, ArchiveUnavailableError
from fetal_monai.errors import InputError


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


def test_tls_where_there_is_none_and_a_certificate_of_another_name(servers, certificates):
    url, _ = listen(servers, b"[]")
    with pytest.raises(ArchiveUnavailableError, match="speaks no TLS there; begin the URL with http://"):
        Archive(Connection(url.replace("http:", "https:"), **QUICK)).instances(STUDY)
    url, _ = servers(lambda handler: send(handler, b"[]"), certificates.other)
    with pytest.raises(
        ArchiveUnavailableError, match=r"not trusted \(.*mismatch.*\); use the name that the certificate"
    ):
        Archive(Connection(url, ca=certificates.ca, **QUICK)).instances(STUDY)


def test_nobody_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(
        ArchiveUnavailableError, match=rf"127.0.0.1:{port}: cannot be reached \(ConnectionError\); check"
    ):
        Archive(Connection(f"http://127.0.0.1:{port}/dicom-web", **QUICK)).instances(STUDY)


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
