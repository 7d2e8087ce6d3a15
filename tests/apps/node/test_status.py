"""The status page over real HTTP and in a real browser; what Prometheus and a container's engine read of a node."""

from __future__ import annotations

import http.client
import json
import re
import socket
import stat
import threading
import time
from contextlib import contextmanager

import pytest

from browser import violations
from fetal_monai.apps.node.health import Health
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.node import NodeSettings, running
from fetal_monai.apps.node.records import KEY_OBJECTS, Document, Instance
from fetal_monai.apps.node.status_server import TOKEN_FILE, StatusServer
from fetal_monai.errors import InputError
from node_peers import free_port, start, still, storescu

__all__ = ["start"]

HOSTILE = "<img src=x onerror=alert(1)>\"'</td>{{ 7*7 }}"
REPORT = "1.2.840.10008.5.1.4.1.1.88.22"
FAILED, SENT, PENDING = "f" * 32, "5" * 32, "d" * 32


def fill(ledger, storage):
    """A failed study with a hostile reason, one that was sent, one whose documents wait."""
    for number, key in enumerate((FAILED, SENT, PENDING), start=1):
        ledger.add(
            Instance(f"1.{number}", key, "1.2", "1.2.840.10008.1.2", "00", 10, f"x{number}.dcm"), f"1.2.{number}"
        )
        ledger.close_study(key, 1)
    ledger.fail_study(FAILED, 1, f"nothing can be read: {HOSTILE}")
    folder = storage / "reports" / SENT
    folder.mkdir(parents=True)
    item = {"title": HOSTILE, "status": "found", "best": {"sop_instance_uid": "1.2.2.9", "frame": 3, "confidence": 0.5}}
    content = {
        "protocol": {"title": "A checklist"},
        "model": {"name": "m"},
        "checklist": [item, {**item, "title": "Heart", "status": "missing", "best": None}],
        "stills": [1, 2],
        "clips": [1],
        "failures": [{"source": "x", "message": "PATIENT^NAME"}],
    }
    (folder / "2.25.1.json").write_text(json.dumps(content))
    made = [Document("2.25.1", "2.25.1.1", REPORT, f"reports/{SENT}/2.25.1.dcm")]
    made += [Document("2.25.2", "2.25.2.1", KEY_OBJECTS, f"reports/{SENT}/2.25.2.dcm")]
    ledger.finish_prediction(SENT, 1, made)
    for one in made:
        ledger.sent(one.uid, "1.9")
    ledger.committed("1.9", ["2.25.1"], [])
    ledger.finish_prediction(PENDING, 1, [Document("2.25.3", "2.25.3.1", REPORT, f"reports/{PENDING}/2.25.3.dcm")])
    ledger.not_sent("2.25.3", f"answers 503 {HOSTILE}")
    ledger.count("refused.A700")
    ledger.count("refused.A700")


class Status:
    """A status server over a filled queue, and how to ask it."""

    def __init__(self, storage, ledger, **limits):
        self.storage, self.ledger = storage, ledger
        self.limits = NodeLimits(reserve_bytes=1, **limits)
        self.health = Health(storage, self.limits)
        self.health.watch("receiving", lambda: True)
        self.server = StatusServer(("127.0.0.1", 0), storage, self.limits, self.health)
        self.port = self.server.port
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = (storage / TOKEN_FILE).read_text().strip()

    def ask(self, path="/", method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent = {"Content-Type": "application/x-www-form-urlencoded", **sent}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, dict(answer.getheaders())

    def state(self, key):
        return self.ledger.study(key).state


@pytest.fixture
def status(tmp_path):
    with Ledger(tmp_path, create=True) as ledger:
        fill(ledger, tmp_path)
        made = Status(tmp_path, ledger)
        with made.server:
            yield made


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


SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\n]|\\[\\"n])*)"\})? (-?\d+(?:\.\d+)?)')


def parsed(text):
    """Samples of Prometheus' text format 0.0.4; each family has HELP and TYPE before it, and stands in one piece."""
    assert text.endswith("\n")
    samples, family = {}, None
    seen = set()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert len(line.split(" ", 3)[3]) > 5
            assert family not in seen
            seen.add(family)
            kind = re.fullmatch(rf"# TYPE {family} (counter|gauge)", next(lines))[1]
            assert (kind == "counter") == family.endswith("_total")
            continue
        name, label, value, number = SAMPLE.fullmatch(line).groups()
        assert name == family
        assert (name, label, value) not in samples
        samples[name, label, value] = float(number)
    return {(name.removeprefix("fetal_monai_node_"), value): number for (name, _, value), number in samples.items()}


def test_prometheus_reads_the_metrics(status):
    code, text, headers = status.ask("/metrics")
    assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = parsed(text)
    expected = {
        ("objects", None): 3,
        ("objects_refused_total", "out_of_resources"): 2,
        ("objects_refused_total", "no_ultrasound"): 0,
        ("studies", "failed"): 1,
        ("studies", "sent"): 1,
        ("studies", "predicted"): 1,
        ("studies", "receiving"): 0,
        ("documents", "sent"): 2,
        ("documents", "pending"): 1,
        ("healthy", None): 1,
        ("disk_reserve_bytes", None): 1,
        ("oldest_seconds", "studies.closed"): 0,
    }
    assert found | expected == found
    assert 0 < found["oldest_seconds", "documents.pending"] < 300
    assert found["disk_free_bytes", None] > 0
    assert "1.2.1" not in text


def test_health_is_what_the_node_can_do(status, monkeypatch):
    assert status.ask("/health")[:2] == (200, "ok\n")
    status.health.watch("sending", lambda: False)
    assert status.ask("/health")[:2] == (503, "sending has ended\n")
    status.health.watch("sending", lambda: True)
    assert status.ask("/health")[0] == 200
    monkeypatch.setattr(status.health, "_limits", NodeLimits(reserve_bytes=1 << 60))
    code, text, _ = status.ask("/health")
    assert (code, "the disk is nearly full" in text) == (503, True)
    assert "the disk is nearly full" in status.ask()[1]
    assert parsed(status.ask("/metrics")[1])["healthy", None] == 0


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


@contextmanager
def looked_at(chromium, status, path="/", scheme="light", width=1280, **options):
    """Open a page; fail if it says anything, or asks anyone else."""
    size = {"width": width, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options)
    page = context.new_page()
    seen = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: seen.append(request.url))
    page.goto(status.url + path)
    yield page
    context.close()
    assert [entry for entry in seen if not entry.startswith(status.url)] == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_for_everybody(status, chromium, scheme, width):
    for path in ("/", f"/study/{SENT}", f"/study/{FAILED}", f"/?tried={FAILED}"):
        with looked_at(chromium, status, path, scheme, width, bypass_csp=True) as page:
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        with looked_at(chromium, status, path, scheme, width) as page:
            assert page.locator("img").count() == 0
            if path == "/":
                assert HOSTILE in page.locator("#failures .error").inner_text()
                assert page.locator("h1").evaluate("one => getComputedStyle(one).overflowWrap") == "anywhere"


def test_a_retry_by_keyboard(status, chromium):
    def retry(page, token):
        page.focus("#token")
        page.keyboard.type(token)
        page.keyboard.press("Enter")  # sends nothing
        assert page.url == f"{status.url}/"
        for _ in range(4):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "study":
                break
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url != f"{status.url}/")

    context = chromium.new_context()
    page = context.new_page()
    page.goto(status.url)
    retry(page, "wrong")
    assert "The token is wrong" in page.inner_text("main")
    assert status.state(FAILED) == "failed"
    context.close()
    with looked_at(chromium, status) as page:
        retry(page, status.token)
        assert page.inner_text(".done") == "Study 1.2.1 is tried again."
        assert "No study has failed." in page.inner_text("#failures")
        assert not page.locator("#token").is_visible()
    assert status.state(FAILED) == "closed"


def test_the_page_refreshes_itself_but_for_what_has_the_focus(status, chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(status.url)
    for _ in range(2):
        page.focus("#failures button[name=study]")
    status.ledger.sent("2.25.3")
    status.ledger.retry(FAILED)
    page.clock.run_for(10_500)
    page.wait_for_selector("#deliveries-now >> text=No document waits")
    assert page.locator("#failures button[name=study]").count() == 1
    page.focus("#pause")
    page.clock.run_for(10_500)
    page.wait_for_selector("#failures-now >> text=No study has failed")
    page.keyboard.press("Enter")
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    context.close()
