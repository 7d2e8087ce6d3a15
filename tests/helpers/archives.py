"""Archives on loopback: a real Orthanc that asks who is there, and servers that answer as a test wants."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orthanc import configure

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
STUDY = "1.2.3"
QUICK = {"pause_s": 0.0, "silence_s": 20.0, "connect_s": 20.0}  # a busy machine may pause, too
USER, PASSWORD, TOKEN = "reader", "correct horse: battery", "tok-0123456789"


class Orthanc:
    """A real archive on loopback that asks who is there."""

    def __init__(self, folder):
        plugin = {"Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
        users = {"AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}}
        config, self.root = configure(folder, **plugin, **users)
        self.url = f"{self.root}/dicom-web"
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["Orthanc", str(config)], stdout=log, stderr=log)

    def ask(self, path, data=None):
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(self.root + path, data=data, headers={"Authorization": f"Basic {basic}"})
        with self.open(request, timeout=20) as answer:
            return answer.read()

    def wait(self):
        for _ in range(300):
            try:
                return self.ask("/system")
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                time.sleep(0.1)
        raise AssertionError(f"Orthanc does not answer: {self.log.read_text()[-3000:]}")

    def store(self, *paths):
        for path in paths:
            self.ask("/instances", Path(path).read_bytes())


@contextlib.contextmanager
def orthanc(folder, *, files=()):
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("needs Orthanc and its DICOMweb plugin: install orthanc and orthanc-dicomweb")
    server = Orthanc(folder)
    try:
        server.wait()
        server.store(*files)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)


@contextlib.contextmanager
def serve(respond, certificate=None, ca=None):
    """A server of our own: `respond(handler)` writes the whole answer. Yields its URL and the requests so far."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            requests.append((self.path, dict(self.headers)))
            self.close_connection = True
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                respond(self)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):  # a client that breaks a handshake off
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web", requests
    finally:
        server.shutdown()
        server.server_close()


def send(handler, body=b"", status=200, kind="application/dicom+json", **headers):
    handler.send_response(status)
    for name, value in {"Content_Type": kind, "Content_Length": len(body), **headers}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def listing(**values):
    """The body of an answer to a search: one item, tag -> value."""
    return json.dumps([{tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}]).encode()


def listen(servers, body=b"", status=200, kind="application/dicom+json", **headers):
    """Start a server that answers everything alike."""
    return servers(lambda handler: send(handler, body, status, kind, **headers))
