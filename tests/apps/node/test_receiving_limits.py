"""As much as a node takes, and no more: bytes, objects, associations, disk."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, UltrasoundImageStorage
from pynetdicom import AE

from fetal_monai.apps.node.limits import NodeLimits, Status
from node_peers import AET, associated, collected, drops_sockets, echoscu, send_raw, start, still, storescu, studies

__all__ = ["collected", "start"]


def test_too_large_an_object_is_refused_and_the_next_one_taken(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1, object_bytes=400_000))
    large = still(tmp_path / "large.dcm", 1, size=(2000, 2000))
    small = still(tmp_path / "small.dcm", 2)
    assert send_raw(node.port, large, small) == [Status.OUT_OF_RESOURCES, 0]
    barely = still(tmp_path / "barely.dcm", 3, size=(632, 633))  # the limit lies in its last unit
    assert 400_000 < barely.stat().st_size < 401_000
    assert send_raw(node.port, barely) == [Status.OUT_OF_RESOURCES]
    assert not node.incoming()
    assert storescu(node.port, large).returncode != 0
    assert len(node.files()) == 1


def test_a_study_of_too_many_objects(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1, study_objects=2))
    files = [still(tmp_path / f"{k}.dcm", k) for k in range(3)]
    assert send_raw(node.port, *files, files[0]) == [0, 0, Status.OUT_OF_RESOURCES, 0]
    assert send_raw(node.port, still(tmp_path / "other.dcm", 0, study="1.2.4")) == [0]


def test_a_disk_that_is_nearly_full_takes_nothing_and_says_so(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1 << 60))
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1, size=(500, 800))) == [Status.OUT_OF_RESOURCES]
    assert echoscu(node.port).returncode == 0
    assert node.files() == node.incoming() == []


@contextmanager
def no_file_beyond(size):
    """A disk that refuses to take more of a file, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fails_in_mid_object_is_an_answer_and_leaves_nothing(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1))
    large, small = still(tmp_path / "large.dcm", 1, size=(2000, 2000)), still(tmp_path / "small.dcm", 2)
    with no_file_beyond(1_000_000):
        answers = send_raw(node.port, large, small, large)
    assert answers == [Status.PROCESSING_FAILURE, 0, Status.PROCESSING_FAILURE]
    assert not node.incoming()
    assert send_raw(node.port, large) == [0]
    assert len(node.files()) == 2


def test_what_a_dead_connection_left_goes_with_a_later_one(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1, idle_seconds=5))
    old, new = node.inbox.incoming / "old.dcm", node.inbox.incoming / "new.dcm"
    old.touch()
    new.touch()
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1)) == [0]
    end = time.monotonic() + 10
    while old.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not old.exists()
    assert new.exists()  # somebody may be writing it


def test_an_object_of_empty_fragments_is_refused_before_they_are_counted(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1))
    data = dcmread(still(tmp_path / "a.dcm", 1))
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    del data.PixelData
    data.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    item, end = b"\xfe\xff\x00\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)
    with (tmp_path / "b.dcm").open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff" + item * 2_000_000 + end)
    assert send_raw(node.port, tmp_path / "b.dcm") == [Status.CANNOT_UNDERSTAND]
    assert not node.files()


def test_twenty_associations_at_once_are_served(start, tmp_path):
    node = start()
    folders = [tmp_path / f"s{k}" for k in range(20)]
    files = [
        [still(folder / f"{k}.dcm", k, study=f"1.2.{n + 10}") for k in range(4)] for n, folder in enumerate(folders)
    ]
    together = threading.Barrier(20)

    def send(paths):
        with associated(node.port, [(UltrasoundImageStorage, ExplicitVRLittleEndian)]) as assoc:
            together.wait(timeout=60)  # all are open now
            return [assoc.send_c_store(path).Status for path in paths]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(send, files)) == [[0] * 4] * 20
    assert len(node.files()) == 80
    assert len(studies(node)) == 20


@drops_sockets
def test_one_association_too_many_is_told_so(start):
    node = start(limits=NodeLimits(reserve_bytes=1, associations=2))
    scu = AE("SCANNER")
    scu.add_requested_context(UltrasoundImageStorage)
    held = [scu.associate("127.0.0.1", node.port, ae_title=AET) for _ in range(3)]
    assert [assoc.is_established for assoc in held] == [True, True, False]
    assert held[2].is_rejected
    held[0].release()
    threading.Event().wait(0.3)
    again = scu.associate("127.0.0.1", node.port, ae_title=AET)
    assert again.is_established
    again.release()
    held[1].release()


def test_a_unit_of_four_gigabytes_ends_the_connection(start):
    node = start(limits=NodeLimits(reserve_bytes=1, request_seconds=2))
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + b"x" * 1000)
        assert peer.recv(100) == b""
    assert echoscu(node.port).returncode == 0
