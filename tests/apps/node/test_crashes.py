"""The node as a person runs it: killed at any moment, under load, and told to stop."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from fetal_monai.apps.node.queue import Queue
from fetal_monai.apps.node.records import KEY_OBJECTS
from node_peers import AET, archive, associated, collected, drops_sockets, echoscu, free_port, still, storescu, until

__all__ = ["archive", "collected"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Process:
    """`fetal-monai node`, in a process that can be killed."""

    def __init__(self, storage, port, *options):
        self.storage, self.port = storage, port
        self.log = storage.parent / "node.log"
        command = [sys.executable, "-m", "fetal_monai", "node", "--storage", storage, "--port", port, "--aet", AET]
        self.command = [*map(str, command), *map(str, options)]
        self.child = None

    def start(self):
        with self.log.open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)
        return self

    def listening(self):
        until(lambda: echoscu(self.port).returncode == 0 or self.child.poll() is not None, seconds=300)
        assert self.child.poll() is None, self.log.read_text()[-3000:]
        return self

    def kill(self):
        self.child.kill()
        self.child.wait(timeout=30)

    def memory(self):
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


@pytest.fixture
def node(tmp_path, model_dir):
    """Start nodes of this test's storage folder; they end with it."""
    made = []

    def make(*options):
        process = Process(
            tmp_path / "storage", free_port(), "--model", model_dir, "--device", "cpu", "--reserve", 1, *options
        )
        made.append(process)
        return process

    yield make
    for process in made:
        if process.child is not None and process.child.poll() is None:
            process.child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.child.wait(timeout=60)
            process.child.kill()
            process.child.wait(timeout=30)


def load(port, studies, acknowledged):
    """Send each object until it is acknowledged, as a scanner does."""
    for files in studies:
        left = list(files)
        while left:
            everything = associated(port, [(UltrasoundImageStorage, ExplicitVRLittleEndian)])
            with contextlib.suppress(Exception), everything as assoc:  # the node is being killed all the time
                while left and assoc.send_c_store(left[0]).get("Status") == 0:
                    acknowledged.append(left.pop(0))
            if left:
                time.sleep(0.1)


@drops_sockets
@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_killed_ten_times_each_study_has_exactly_one_report(node, archive, tmp_path, way):
    prefix = "1.2.50" if way == "C-STORE" else "1.2.60"
    studies = [[still(tmp_path / f"in/{n}-{k}.dcm", k, study=f"{prefix}.{n}") for k in range(2)] for n in range(50)]
    to = archive.destination if way == "C-STORE" else archive.web
    process = node("--quiet", 2, "--destination", to).start().listening()
    acknowledged = []
    senders = [threading.Thread(target=load, args=(process.port, studies[part::2], acknowledged)) for part in range(2)]
    for sender in senders:
        sender.start()
    chance = random.Random(7)
    for _ in range(10):
        time.sleep(chance.uniform(0.2, 6))
        process.kill()
        process.start()
    process.listening()
    for sender in senders:
        sender.join(timeout=300)
    assert len(acknowledged) == 100

    with Queue(process.storage) as queue:
        until(lambda: queue.counters()["studies.sent"] == 50 or queue.failures(), seconds=600)
        assert not queue.failures()
        assert queue.counters()["objects"] == 100
        assert not list((process.storage / "incoming").iterdir())
        found = archive.documents(prefix)
        for study in queue.studies():
            deliveries = queue.deliveries(study=study.key)
            reports = [one for one in deliveries if one.document.sop_class != KEY_OBJECTS]
            # An interruption between two objects may last longer than the quiet time: then there is a second version.
            assert [one.version for one in reports] == list(range(1, study.version + 1))
            assert reports[-1].state == "sent"
            there = found[study.uid, "SR"]
            assert len(there) == len(set(there)) <= study.version
            assert {one.document.uid for one in reports if one.state == "sent"} <= set(there)
            assert set(there) <= {one.document.uid for one in reports}
        assert sum(study.version == 1 for study in queue.studies()) >= 30
    log = process.log.read_text()
    assert "Traceback" not in log
    assert "Secret" not in log


def test_a_thousand_studies_leave_memory_flat(node, tmp_path):
    process = node("--quiet", 1).start().listening()
    paths = [still(tmp_path / f"in/{n}.dcm", 0, study=f"1.2.70.{n}", size=(16, 16)) for n in range(1000)]

    def send(part):
        for begin in range(0, len(part), 10):
            with associated(process.port, [(UltrasoundImageStorage, ExplicitVRLittleEndian)]) as assoc:
                for path in part[begin : begin + 10]:
                    assert assoc.send_c_store(path).Status == 0

    send(paths[:200])
    before = process.memory()
    send(paths[200:])
    with Queue(process.storage) as queue:
        until(lambda: queue.counters()["studies.predicted"] == 1000, seconds=900)
    assert process.memory() - before < 30
    assert echoscu(process.port).returncode == 0


def test_sigterm_finishes_what_is_in_hand(node, archive, tmp_path):
    process = node("--quiet", 0.2, "--destination", archive.web).start().listening()
    assert storescu(process.port, still(tmp_path / "in/1.dcm", 1, study="1.2.80")).returncode == 0
    with Queue(process.storage) as queue:
        until(lambda: queue.counters()["studies.sent"] == 1, seconds=300)
        assert storescu(process.port, still(tmp_path / "in/2.dcm", 2, study="1.2.81")).returncode == 0
        until(lambda: queue.counters()["studies.receiving"] == 0, seconds=300)
        process.child.send_signal(signal.SIGTERM)
        until(lambda: echoscu(process.port).returncode != 0, seconds=30)
        assert process.child.wait(timeout=60) == 0
        states = {study.uid: study.state for study in queue.studies()}
        assert states["1.2.81"] in ("predicted", "sent"), "the prediction that had begun was thrown away"
    log = process.log.read_text()
    assert "Traceback" not in log
    process.start().listening()
    with Queue(process.storage) as queue:
        until(lambda: queue.counters()["studies.sent"] == 2, seconds=300)
    assert len(archive.documents("1.2.81")["1.2.81", "SR"]) == 1


def test_mistakes_are_one_message(node, tmp_path):
    process = node().start().listening()
    other = Process(process.storage, free_port(), *process.command[10:])
    taken = Process(tmp_path / "other" / "storage", process.port, *process.command[10:])
    taken.storage.parent.mkdir()
    other.log = tmp_path / "second.log"
    for second, message in ((other, "another node is using it"), (taken, "cannot be used")):
        assert second.start().child.wait(timeout=60) == 1
        said = second.log.read_text()
        assert message in said
        assert "Traceback" not in said
    model = Process(tmp_path / "third" / "storage", free_port(), "--model", tmp_path / "nothing")
    model.storage.parent.mkdir()
    assert model.start().child.wait(timeout=120) == 1
    assert "Traceback" not in model.log.read_text()
