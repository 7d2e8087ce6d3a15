"""Archives: a real Orthanc with a user, TLS or a client's certificate; a proxy before it; servers that misbehave."""

from __future__ import annotations

import base64
import contextlib
import shutil
import urllib.error
import urllib.request

import pytest

from archives import PASSWORD, TOKEN, USER, orthanc, send, serve
from certificates import make_certificates
from fetal_monai.dicom import index_dicom

pytest.importorskip("dicomweb_client", reason="fetal_monai[dicomweb] is not installed")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No proxy, no credentials and no .netrc but those of the test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"FETAL_MONAI_DICOMWEB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def studies(phantom):
    """StudyInstanceUID -> files of three studies of the phantom, one of them with a clip."""
    entries = list(index_dicom(phantom).values())
    with_clip = next(entry.study for entry in entries if entry.frames > 1)
    names = [with_clip, *dict.fromkeys(entry.study for entry in entries if entry.study != with_clip)][:3]
    return {name: [entry.path for entry in entries if entry.study == name] for name in names}


@pytest.fixture(scope="session")
def files(studies):
    return [path for paths in studies.values() for path in paths]


@pytest.fixture(scope="session")
def archive(tmp_path_factory, files):
    """With a user, without TLS, and a CT beside the ultrasound."""
    from pydicom.data import get_testdata_file  # noqa: PLC0415

    with orthanc(tmp_path_factory.mktemp("orthanc"), files=[*files, get_testdata_file("CT_small.dcm")]) as server:
        yield server


@pytest.fixture
def basic(monkeypatch):
    monkeypatch.setenv("FETAL_MONAI_DICOMWEB_USER", USER)
    monkeypatch.setenv("FETAL_MONAI_DICOMWEB_PASSWORD", PASSWORD)


@pytest.fixture
def servers():
    """Start servers that end with the test; see `serve` and `send`."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(serve(*arguments, **options))


@pytest.fixture
def proxy(archive):
    """How to answer like a reverse proxy before the real archive, which takes its users and one bearer token."""

    def respond(handler):
        asked = handler.headers.get("Authorization", "")
        if asked == f"Bearer {TOKEN}":
            asked = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Accept": handler.headers["Accept"], "Authorization": asked}
        try:
            with archive.open(urllib.request.Request(archive.root + handler.path, headers=headers)) as answer:
                send(handler, answer.read(), answer.status, answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            send(handler, error.read(), error.code, "text/html")

    return respond
