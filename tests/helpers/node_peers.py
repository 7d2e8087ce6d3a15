"""Peers of a node: objects to send, dcmtk's commands, and an SCU that sends bytes as they are, however wrong."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UltrasoundImageStorage, generate_uid
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from clips import textured, write_clip
from fetal_monai.apps.node.inbox import Inbox
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.server import Receiver
from orthanc import configure

AET = "PLANES"


@pytest.fixture
def collected():
    """Collect what a test leaves as garbage before the next begins, once its associations have ended."""
    logger = logging.getLogger("pynetdicom")
    logger.setLevel(logging.CRITICAL + 1)  # a record of an error holds its frames, and they the sockets
    yield
    logger.setLevel(logging.NOTSET)
    end = time.monotonic() + 10
    kinds = Association, DULServiceProvider
    while time.monotonic() < end and any(isinstance(one, kinds) for one in threading.enumerate()):
        time.sleep(0.05)
    gc.collect()


def drops_sockets(test):
    """Mark a test some of whose connections fail: pynetdicom leaves their sockets to the garbage collector."""
    ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    return pytest.mark.usefixtures("collected")(ignored(test))


def still(path, number=0, study="1.2.3", size=(60, 80), **elements):
    """Write a grey still; its UID is drawn from its number and study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"SOPInstanceUID": f"{study}.9.{number}", "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1"}
    identity |= {"SOPClassUID": UltrasoundImageStorage, "NumberOfFrames": None, "FrameTime": None}
    write_clip(path, textured(1, size, seed=number), **identity, **elements)
    data = dcmread(path)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.PatientName = "Secret^Name"
    data.save_as(path, enforce_file_format=True)
    return path


def content(path):
    """The data set of a file, byte for byte: all that is behind the file meta."""
    data = Path(path).read_bytes()
    return data[144 + int.from_bytes(data[140:144], "little") :]


def dcmtk(program, *arguments):
    """Run one of dcmtk's commands."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: install the package dcmtk")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def storescu(port, *arguments, calling="SCANNER", called=AET):
    return dcmtk("storescu", "-aet", calling, "-aec", called, "127.0.0.1", port, *arguments)


def echoscu(port, *arguments, calling="SCANNER", called=AET):
    return dcmtk("echoscu", "-to", 10, "-ta", 10, "-aet", calling, "-aec", called, "127.0.0.1", port, *arguments)


@contextlib.contextmanager
def associated(port, contexts, calling="SCANNER"):
    """An association of pynetdicom that sends files' bytes as they are: (SOP class, transfer syntax) each."""
    scu = AE(calling)
    for sop_class, syntax in contexts:
        scu.add_requested_context(sop_class, syntax)
    before, _config.STORE_SEND_CHUNKED_DATASET = _config.STORE_SEND_CHUNKED_DATASET, True
    assoc = scu.associate("127.0.0.1", port, ae_title=AET)
    try:
        assert assoc.is_established
        yield assoc
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before
        if assoc.is_established:
            assoc.release()


def send_raw(port, *paths):
    """Send files in one association, and give the statuses."""
    metas = [read_file_meta_info(path) for path in paths]
    contexts = {(str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)) for meta in metas}
    with associated(port, sorted(contexts)) as assoc:
        return [assoc.send_c_store(path).get("Status") for path in paths]


class Archive:
    """Orthanc with its DICOM server and its DICOMweb service, which knows a node."""

    def __init__(self, folder):
        program, plugin = shutil.which("Orthanc"), Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
        if program is None or not plugin.exists():
            pytest.skip("needs Orthanc: install the packages orthanc and orthanc-dicomweb")
        self.port, self.node_port = free_port(), free_port()
        self.program, self.process, self.log = program, None, folder / "log"
        self.config, self.url = configure(
            folder,
            DicomServerEnabled=True,
            DicomAet="ARCHIVE",
            DicomPort=self.port,
            DicomAlwaysAllowStore=True,
            DicomModalities={"node": [AET, "127.0.0.1", self.node_port]},
            Plugins=[str(plugin)],
            DicomWeb={"Enable": True, "Root": "/dicom-web/"},
        )

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.program, str(self.config)], stdout=log, stderr=log)
        self.wait(lambda: self.ask("/system"), OSError)
        return self

    def stop(self):
        if self.process is not None:
            self.process.kill()  # nobody needs what it has
            self.process.wait(timeout=30)
            self.process = None

    @property
    def destination(self):
        return f"dicom://ARCHIVE@127.0.0.1:{self.port}"

    @property
    def web(self):
        return f"{self.url}/dicom-web"

    def ask(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=20) as answer:
            return json.load(answer)

    def documents(self, study=""):
        """What it has of studies that begin so: (UID, modality) -> SOP Instance UIDs, each as often as it is there."""
        found = {}
        for one in self.ask("/instances?expand"):
            tags = self.ask(f"/instances/{one['ID']}/simplified-tags")
            if tags["StudyInstanceUID"].startswith(study):
                found.setdefault((tags["StudyInstanceUID"], tags["Modality"]), []).append(tags["SOPInstanceUID"])
        return found

    def wait(self, ready, *errors, seconds=60):
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(*errors):
                if found := ready():
                    return found
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive that runs; tests give their studies UIDs of their own."""
    made = Archive(tmp_path_factory.mktemp("archive"))
    try:
        yield made.start()
    finally:
        made.stop()


class Node:
    """The receiving half of a node, in this process."""

    def __init__(self, storage, *, allow=(), limits=None, tls=None, port=0):
        storage.mkdir(exist_ok=True)
        self.storage = storage
        self.ledger = Ledger(storage, create=True)
        try:
            self.limits = limits or NodeLimits(reserve_bytes=1)
            self.inbox = Inbox(storage, self.ledger, self.limits)
            self.inbox.reconcile()
            self.receiver = Receiver(
                ("127.0.0.1", port), AET, allow, ledger=self.ledger, inbox=self.inbox, limits=self.limits, tls=tls
            )
        except BaseException:
            self.ledger.close()
            raise
        self.port = self.receiver.port

    def close(self):
        self.receiver.close()
        self.ledger.close()

    def files(self):
        return sorted((self.storage / "objects").glob("*/*"))

    def incoming(self):
        return list(self.inbox.incoming.iterdir())


@pytest.fixture
def start(tmp_path):
    """Start receiving halves, and end them."""
    with contextlib.ExitStack() as stack:

        def make(storage=None, **options):
            node = Node(storage or tmp_path / "storage", **options)
            stack.callback(node.close)
            return node

        yield make
    end = time.monotonic() + 15
    while left := [one.name for one in threading.enumerate() if one.name.startswith(("AcceptorThread", "node-"))]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def until(ready, seconds=60):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
    return found


def state(node, count=1):
    """The states of all studies, once there are so many."""
    found = node.ledger.studies()
    return len(found) == count and {one.state for one in found}


def studies(node):
    """UID, state and number of objects of each study."""
    return [(one.uid, one.state, one.objects) for one in node.ledger.studies()]


def fresh_uid():
    return generate_uid(prefix=None)


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
