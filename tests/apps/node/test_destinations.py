"""What a destination is, and whether what it answers counts as arrived: peers answer as real ones do, well or badly."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import EnhancedSRStorage

from fetal_monai.apps.node.destinations import DicomDestination, Unreachable, WebDestination, parse_destination
from fetal_monai.errors import InputError
from node_peers import AET, collected, drops_sockets, free_port, still

__all__ = ["collected"]

UID = "1.2.3.9"
JSON = "application/dicom+json"


@pytest.fixture
def document(tmp_path):
    """A file that is sent: what is in it, no peer here looks at."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = EnhancedSRStorage, UID
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(tmp_path / "document.dcm", data, enforce_file_format=True)
    return tmp_path / "document.dcm"


@pytest.fixture
def service():
    """A DICOMweb service: give it the status, the media type and the body of its answer, get its URL."""
    with contextlib.ExitStack() as stack:

        def serve(status, media_type=None, body=b"", **headers):
            class Answer(BaseHTTPRequestHandler):
                def do_POST(self):
                    self.rfile.read(int(self.headers["Content-Length"]))
                    self.send_response(status)
                    told = {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}
                    for name, value in told.items():
                        if value is not None:
                            self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                def do_GET(self):
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                def log_message(self, *words):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/dicom-web"

        yield serve


def send(text, *paths):
    """What a destination says of documents."""
    told = []
    destination = parse_destination(text, AET, tls=lambda: None)
    destination.send(paths, lambda *_: told.append("arrived"), lambda _, answer: told.append(answer))
    return told


def stored(uid=UID, *, failed=None):
    """The body of an answer (PS3.18 I.2)."""
    items = {"00081155": {"vr": "UI", "Value": [uid]}}
    if failed is None:
        return json.dumps({"00081199": {"vr": "SQ", "Value": [items]}}).encode()
    items["00081197"] = {"vr": "US", "Value": [failed]}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [items]}}).encode()


XML = f"""<NativeDicomModel><DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">
<DicomAttribute tag="00081155" vr="UI" keyword="ReferencedSOPInstanceUID"><Value number="1">{UID}</Value>
</DicomAttribute></Item></DicomAttribute></NativeDicomModel>""".encode()


@pytest.mark.parametrize(
    ("status", "media_type", "body", "said"),
    [
        (200, JSON, stored(), "arrived"),
        (200, "application/dicom+json; charset=utf-8", stored(), "arrived"),
        (200, "Application/JSON", stored(), "arrived"),
        (200, "application/dicom+xml; charset=utf-8", XML, "arrived"),
        (202, f"{JSON}; charset=utf-8", stored(failed=0xA700), "refused with failure reason A700"),
        (409, JSON, stored(failed=0xC000), "refused with failure reason C000"),
        (409, JSON, stored(failed=0x0111), "arrived"),
        (202, JSON, stored(failed=0x0111), "arrived"),
        (200, JSON, stored("1.2.3.10"), "is not among what the answer says is stored"),
        (200, None, b"stored", "is not among what the answer says is stored"),
        (204, None, b"", "is not among what the answer says is stored"),
        (400, "text/plain", b"no", "refused with HTTP status 400"),
    ],
)
def test_only_what_a_service_says_is_stored_has_arrived(service, document, status, media_type, body, said):
    assert send(service(status, media_type, body), document) == [said]


@pytest.mark.parametrize("status", [302, 307, 401, 403, 404, 429, 500, 503])
def test_faults_of_the_service_are_no_document_s(service, document, status):
    with pytest.raises(Unreachable, match=rf"\({status}\b"):
        send(service(status, Location="/login"), document)


def test_a_page_to_log_in_is_no_success(service, document):
    with pytest.raises(Unreachable, match="answers with a web page"):
        send(service(200, "text/html", b"<h1>Log in</h1>"), document)


def test_a_service_is_trusted_by_the_certificates_that_were_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "others.pem")
    (tmp_path / "ours.pem").write_bytes(Path(certifi.where()).read_bytes())
    session = WebDestination("https://host/dicom-web", verify=tmp_path / "ours.pem")._client._session
    settings = session.merge_environment_settings("https://host/dicom-web", {}, stream=False, verify=None, cert=None)
    assert settings["verify"] == str(tmp_path / "ours.pem")


def test_a_service_without_tls_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        parse_destination("http://127.0.0.1/dicom-web", AET, tls=lambda: None)
        parse_destination("https://pacs.example/dicom-web", AET, tls=lambda: None)
        assert not caplog.text
        parse_destination("http://pacs.example/dicom-web", AET, tls=lambda: None)
    assert "pacs.example: without TLS" in caplog.text


@pytest.mark.parametrize(
    ("status", "said"), [(0, "arrived"), (0x0111, "arrived"), (0xB000, "arrived"), (0xA700, "refused with status A700")]
)
@drops_sockets
def test_what_a_dicom_peer_has_already_has_arrived(document, status, said):
    scp = AE("ARCHIVE")
    scp.add_supported_context(EnhancedSRStorage)
    server = scp.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: status)])
    try:
        assert send(f"dicom://ARCHIVE@127.0.0.1:{server.server_address[1]}", document) == [said]
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orthanc",
        "dicom://127.0.0.1:104",
        "dicom://AET@host",
        "dicom://TOO_LONG_FOR_AN_AET@h:1",
        "dicom://A@h:x",
        "https://user:secret@host/dicom-web",
        "ftp://A@host:21",
    ],
)
def test_what_is_no_destination(text):
    with pytest.raises(InputError) as caught:
        parse_destination(text, AET, tls=lambda: None)
    assert "secret" not in str(caught.value)


def test_destinations_are_understood():
    found = parse_destination("dicom://ORTHANC@[::1]:4242", AET, tls=lambda: None)
    assert isinstance(found, DicomDestination)
    assert (found.aet, found.host, found.port, found.own_aet) == ("ORTHANC", "::1", 4242, AET)
    assert isinstance(parse_destination("https://host/dicom-web", AET, tls=lambda: None), WebDestination)


@drops_sockets
def test_nobody_there(tmp_path):
    port, path = free_port(), still(tmp_path / "a.dcm", 1)
    for text in (f"dicom://A@127.0.0.1:{port}", f"http://127.0.0.1:{port}/dicom-web"):
        with pytest.raises(Unreachable, match="cannot be reached"):
            parse_destination(text, AET, tls=lambda: None).send([path], None, None)
