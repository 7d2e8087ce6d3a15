"""A node's status page over a queue with something of everything in it, and how to ask it."""

from __future__ import annotations

import http.client
import json

import pytest

from fetal_monai.apps.node.health import Health
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.records import KEY_OBJECTS, Document, Instance
from fetal_monai.apps.node.status_server import TOKEN_FILE, StatusServer

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
