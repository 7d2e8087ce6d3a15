"""The status page over real HTTP: what it tells, to whom, and whom it refuses."""

from __future__ import annotations

import http.client
import re
import socket
import stat
import threading
import time

import pytest

from fetal_monai.apps.node.health import Health
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.node import NodeSettings, running
from fetal_monai.apps.node.status_server import TOKEN_FILE, StatusServer
from fetal_monai.errors import InputError
from node_peers import free_port, start, still, storescu
from node_status import FAILED, HOSTILE, SENT, status

__all__ = ["start", "status"]


def test_the_page_tells_the_queue_and_names_nobody(status):
    code, text, headers = status.ask()
    assert code == 200
    for shown in ("1.2.1", "1.2.2", "1.2.3", "2.25.3", "out of resources (A700): 2", f'href="/study/{SENT}"'):
        assert shown in text
    assert "<img" not in text
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)[1]
    assert f'<script nonce="{nonce}">' in text
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert nonce not in status.ask()[2]["Content-Security-Policy"]

    code, text, _ = status.ask(f"/study/{SENT}")
    assert code == 200
    for shown in ("1.2.2.9, frame 3", "50 %", "missing", "2 stills, 1 clips, 1 files", "sent, committed"):
        assert shown in text
    assert "PATIENT" not in text
    assert "<img" not in text
    assert "There is no report yet" in status.ask(f"/study/{FAILED}")[1]


def test_other_paths_and_methods_are_refused(status):
    for path in ("/study/" + "0" * 32, "/study/../queue.sqlite", "/queue.sqlite", f"/{TOKEN_FILE}", "/study/"):
        assert status.ask(path)[0] == 404, path
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        code, text, headers = status.ask(method=method)
        assert (code, text) == (501, "Not Implemented\n")
        assert "Content-Security-Policy" in headers
    code, text, headers = status.ask(method="HEAD")
    assert (code, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000
    assert status.ask("/?tried=" + "a" * 300)[0] == 200
    assert status.ask("/?" + "&".join(f"a{n}=1" for n in range(9)))[0] == 400


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "127.0.0.1:{port}"}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "[::1]:8042"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:{port}"}, 403),
        ({"Host": "evil.example#127.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_and_bent_names_are_refused(status, headers, code):
    headers = {name: value.format(port=status.port) for name, value in headers.items()}
    for path in ("/", "/metrics", "/health", f"/study/{SENT}"):
        assert status.ask(path, **headers)[0] == code, path
    if code == 403:
        assert status.ask("/retry", "POST", f"token={status.token}&study={FAILED}", **headers)[0] == 403
        assert status.state(FAILED) == "failed"


def test_a_retry_needs_the_token(status):
    assert stat.S_IMODE((status.storage / TOKEN_FILE).stat().st_mode) == 0o600
    for token in ("", "wrong", status.token[:-1], status.token + "x", "%ff", "é"):
        code, text, _ = status.ask("/retry", "POST", f"token={token}&study={FAILED}".encode())
        assert code == (400 if token == "é" else 403)
        assert code == 400 or "The token is wrong" in text
    assert status.ask("/retry", "POST", f"study={FAILED}")[0] == 403
    assert status.ask(f"/retry?token={status.token}&study={FAILED}")[0] == 404
    assert status.state(FAILED) == "failed"
    for key in (SENT, "0" * 32, "1.2.1", HOSTILE):
        assert status.ask("/retry", "POST", f"token={status.token}&study={key}")[0] == 409
    assert status.ask("/retry", "POST", "token=" + "a" * 5000)[0] == 413
    code, _, headers = status.ask("/retry", "POST", f"token={status.token}&study={FAILED}")
    assert (code, headers["Location"]) == (303, f"/?tried={FAILED}")
    assert status.state(FAILED) == "closed"
    assert "Study 1.2.1 is tried again" in status.ask(headers["Location"])[1]
    assert status.ask("/retry", "POST", f"token={status.token}&study={FAILED}")[0] == 409


def test_each_start_has_a_token_of_its_own(status):
    status.server.close()
    with StatusServer(("127.0.0.1", 0), status.storage, status.limits, status.health) as again:
        assert (status.storage / TOKEN_FILE).read_text().strip() != status.token
        assert len(list(status.storage.glob("*.token*"))) == 1
        with pytest.raises(InputError, match="--status-port"):
            StatusServer(("127.0.0.1", again.port), status.storage, status.limits, status.health)


def until_it(status, *, answers):
    end = time.monotonic() + 9  # before the silent are cut off
    while True:
        assert time.monotonic() < end
        try:
            answered = status.ask("/health")[0] == 200
        except OSError:
            answered = False
        if answered == answers:
            return
        time.sleep(0.05)


def test_who_dawdles_costs_a_place_and_no_more(status):
    sockets = [socket.create_connection(("127.0.0.1", status.port)) for _ in range(16)]
    try:
        for one in sockets:
            one.sendall(b"GET / HT")
        until_it(status, answers=False)
    finally:
        for one in sockets:
            one.close()
    until_it(status, answers=True)


def test_a_locked_queue_is_told_and_a_lost_one_too(status):
    status.server._server.queue.close()
    assert status.ask()[:2] == (503, "the queue cannot be read\n")
    assert status.ask("/health")[:2] == (503, "the queue cannot be read\n")


def test_objects_are_received_while_many_look(start, tmp_path):
    node = start()
    health = Health(node.storage, node.limits)
    files = [still(tmp_path / f"{number}.dcm", number) for number in range(10)]
    stop = threading.Event()
    with StatusServer(("127.0.0.1", 0), node.storage, node.limits, health) as server:

        def look():
            while not stop.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            done = storescu(node.port, *files)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert done.returncode == 0, done.stderr
    assert len(node.files()) == 10


def test_a_node_has_the_page_if_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("fetal_monai.apps.node.predicting.PredictionProcess.start", lambda _: None)
    port = free_port()
    settings = NodeSettings(
        tmp_path / "storage", port=0, status=("127.0.0.1", port), limits=NodeLimits(reserve_bytes=1)
    )
    with running(settings, fatal=print):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert NodeSettings(tmp_path).status is None
