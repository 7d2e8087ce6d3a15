"""The node: a receiver, a worker and a sender around one queue, from the start to SIGTERM."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from fetal_monai.apps.node.delivery import Sender
from fetal_monai.apps.node.destinations import is_aet, parse_destination
from fetal_monai.apps.node.disk import StorageLock
from fetal_monai.apps.node.health import Health
from fetal_monai.apps.node.inbox import Inbox
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.predicting import ModelSettings, PredictionProcess
from fetal_monai.apps.node.server import Receiver
from fetal_monai.apps.node.tls import TlsFiles
from fetal_monai.apps.node.worker import Worker
from fetal_monai.errors import FetalMonaiError, InputError

LOG = logging.getLogger("fetal_monai.apps.node")
GRACE_S = 10.0
"""What associations have, after SIGTERM, to send the object that is under way."""


@dataclass(frozen=True)
class NodeSettings:
    """How a node is run.

    Args:
        storage: its folder.
        host: address to listen on.
        port: likewise; 0 takes a free one.
        aet: its AE title.
        allow: AE titles that may call; none: any, and then on this machine only.
        destination: see `parse_destination`; None keeps the reports in the storage folder.
        model: what predicts.
        quiet: seconds without a new object until a study counts as complete.
        limits: the most that peers may ask for.
        tls: certificates.
        auth_file: credentials for a DICOMweb destination, see `read_credentials`; None asks the environment.
        status: address and port of the status page; None: there is none.
    """

    storage: Path
    host: str = "127.0.0.1"
    port: int = 11112
    aet: str = "FETAL_MONAI"
    allow: tuple[str, ...] = ()
    destination: str | None = None
    model: ModelSettings = field(default_factory=ModelSettings)
    quiet: float = 30.0
    limits: NodeLimits = field(default_factory=NodeLimits)
    tls: TlsFiles = field(default_factory=TlsFiles)
    auth_file: Path | None = None
    status: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        for option, titles in (("--aet", [self.aet]), ("--allow", self.allow)):
            wrong = [title for title in titles if not is_aet(title)]
            if wrong:
                problem = f"{wrong[0]!r} is no AE title: 1 to 16 characters of ASCII, no backslash"
                raise InputError(option, [problem])
        if not self.allow and not _is_loopback(self.host):
            problem = f"{self.host} can be reached from outside: name the AE titles that may call, by --allow"
            raise InputError("--host", [problem])


def serve(settings: NodeSettings) -> None:
    """Run a node until it is told to stop (SIGTERM, Ctrl-C): then nothing new is accepted, what is in hand is finished.

    Args:
        settings: of it.

    Raises:
        FetalMonaiError: if something of the settings cannot be used, the storage folder is in use, or the port is.
    """
    stop = _Stop()
    quiet_others()
    with stop.signals(), running(settings, fatal=stop.fail):
        stop.event.wait()
        LOG.info("stopping: what is in hand is finished first")
    if stop.error is not None:
        raise stop.error


@contextlib.contextmanager
def running(settings: NodeSettings, fatal: Callable[[FetalMonaiError], None]) -> Iterator[Receiver]:
    """Run a node for the length of a block.

    Args:
        settings: of it.
        fatal: is called with a FetalMonaiError if the model cannot be used.

    Yields:
        What listens.

    Raises:
        FetalMonaiError: as `serve`.
    """
    with contextlib.ExitStack() as stack:
        tls = settings.tls.server()
        stack.enter_context(StorageLock(settings.storage))
        ledger = stack.enter_context(Ledger(settings.storage, create=True))
        inbox = Inbox(settings.storage, ledger, settings.limits)
        inbox.reconcile()
        health = Health(settings.storage, settings.limits)
        if settings.status is not None:
            from fetal_monai.apps.node.status_server import StatusServer  # noqa: PLC0415  # its pages: a second

            stack.enter_context(StatusServer(settings.status, settings.storage, settings.limits, health))
        allow = list(settings.allow)
        receiver = Receiver(
            (settings.host, settings.port),
            settings.aet,
            allow,
            ledger=ledger,
            inbox=inbox,
            limits=settings.limits,
            tls=tls,
        )
        stack.callback(receiver.close)  # if the rest cannot be made
        sender = _sender(settings, ledger, receiver)
        if sender is not None:
            stack.callback(sender.close)
        process = PredictionProcess(settings.model)
        worker = Worker(
            settings.storage,
            ledger,
            process,
            quiet=settings.quiet,
            busy=receiver.busy_studies,
            fatal=fatal,
            wake=sender.wake if sender is not None else lambda: None,
        )
        stack.callback(worker.close)
        health.watch("receiving", lambda: receiver.alive)
        health.watch("predicting", lambda: worker.alive)
        if sender is not None:
            health.watch("sending", lambda: sender.alive)
        stack.callback(receiver.close, GRACE_S)  # when it ends, this before what is in hand, which may take long
        stack.callback(worker.stop)
        where = f"{settings.host}, port {receiver.port}"
        LOG.info("%s listens on %s, %s", settings.aet, where, "by TLS" if tls else "without TLS")
        yield receiver


def _sender(settings: NodeSettings, ledger: Ledger, receiver: Receiver) -> Sender | None:
    if settings.destination is None:
        return None
    destination = parse_destination(
        settings.destination,
        settings.aet,
        tls=settings.tls.client,
        auth_file=settings.auth_file,
        verify=settings.tls.destination,
        certificate=settings.tls.pair,
        on_commitment=receiver.commitment,
    )
    return Sender(settings.storage, ledger, destination)


def quiet_others() -> None:
    """Keep from the log what libraries quote of data sets: warnings about a patient's name hold it."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom", "dicomweb_client", "retrying", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class _Stop:
    """Why a node ends, and when."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.error: FetalMonaiError | None = None

    def fail(self, error: FetalMonaiError) -> None:
        self.error = error
        self.event.set()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.event.set()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
