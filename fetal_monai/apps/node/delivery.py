"""Sending documents until they are there. A destination that is dead delays nothing but itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom import dcmread

from fetal_monai.apps.node.destinations import Destination, Unreachable
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.records import PENDING, Delivery
from fetal_monai.utils.closing import Closing

LOG = logging.getLogger(__name__)
_BATCH = 20
_REFUSALS = 10


def pause(attempts: int, first: float = 5.0, most: float = 600.0) -> float:
    """Wait the longer the more often it failed.

    Args:
        attempts: that failed.
        first: seconds after the first.
        most: seconds.

    Returns:
        Seconds until the next.

    Example:
        >>> [pause(attempts) for attempts in (1, 2, 3, 20)]
        [5.0, 10.0, 20.0, 600.0]
    """
    return float(min(first * 2 ** min(max(attempts, 1) - 1, 30), most))


class Sender(Closing):
    """A thread that sends what is pending.

    How often each document was tried is in the queue, so that a restart does not make an impatient node; the first try
    after a start is made at once.

    Args:
        storage: the storage folder.
        ledger: the queue.
        destination: where to.
        first_pause: see `pause`.
        clock: monotonic.
    """

    def __init__(
        self,
        storage: Path,
        ledger: Ledger,
        destination: Destination,
        *,
        first_pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._ledger, self._destination = storage, ledger, destination
        self._first, self._clock = first_pause, clock
        self._not_before = {one.document.uid: clock() for one in ledger.deliveries(PENDING)}
        self._reachable_at = clock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-sender")
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Let the document that is being sent arrive, and begin no other."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            sent = 0
            try:
                sent = self._send_due()
            except Exception as error:  # noqa: BLE001  # a full disk, a locked file: it is tried again
                LOG.error("the sender: %s", type(error).__name__)  # noqa: TRY400
                self._stop.wait(5)
            if not sent:
                self._wake.wait(min(self._first, 1.0))

    def _send_due(self) -> int:
        """Send what is due; how many arrived."""
        now = self._clock()
        if now < self._reachable_at:
            return 0
        pending = self._ledger.deliveries(PENDING)
        self._not_before = {one.document.uid: self._due_at(one, now) for one in pending}
        due = [one for one in pending if self._not_before[one.document.uid] <= now]
        due = sorted(due, key=lambda one: one.attempts)[:_BATCH]  # one that ends each association comes last
        there = {}
        for one in due:
            path = self._storage / one.document.file
            if path.is_file():
                there[path] = one
            else:
                LOG.error("study %s: a document is gone from the disk; it is made anew", one.study_uid)
                self._ledger.predict_again(one.study)
        return self._send(there) if there else 0

    def _due_at(self, one: Delivery, now: float) -> float:
        """When a document is to be sent: what was sent, and comes back, waits like what was refused."""
        wait = pause(one.attempts, self._first) if one.attempts else 0.0
        return self._not_before.get(one.document.uid, now + wait)

    def _send(self, documents: dict[Path, Delivery]) -> int:
        left = dict(documents)
        begun: list[Path] = []
        count = 0

        def in_turn() -> Iterator[Path]:
            for path, one in documents.items():
                if self._ledger.sending(one.document.uid):
                    begun.append(path)
                    yield path
                else:  # a newer one has replaced it
                    del left[path]

        def arrived(path: Path, transaction: str | None) -> None:
            nonlocal count
            one = left.pop(path)
            self._not_before.pop(one.document.uid, None)
            self._ledger.sent(one.document.uid, transaction)
            count += 1
            LOG.info("study %s: document %s sent", one.study_uid, one.document.uid)

        def refused(path: Path, answer: str) -> None:
            one = left.pop(path)
            give_up = one.attempts + 1 >= _REFUSALS
            self._ledger.not_sent(one.document.uid, answer, give_up=give_up, counted=True)
            self._not_before[one.document.uid] = self._clock() + pause(one.attempts + 1, self._first)
            LOG.warning("study %s: document %s %s", one.study_uid, one.document.uid, answer)

        try:
            self._destination.send(in_turn(), arrived, refused)
        except Unreachable as unreachable:
            self._wait(str(unreachable), left, begun)
        except Exception as error:
            if not begun or begun[-1] not in left:
                raise
            path = begun[-1]  # one document's trouble is not that of the others
            if _is_damaged(path):
                LOG.error("study %s: a document is damaged; it is made anew", left[path].study_uid)  # noqa: TRY400
                self._ledger.predict_again(left[path].study)
            else:
                refused(path, f"could not be sent ({type(error).__name__})")
        return count

    def _wait(self, problem: str, left: dict[Path, Delivery], begun: list[Path]) -> None:
        tried = {path: one for path, one in left.items() if path in begun} or left
        for path, one in tried.items():
            self._ledger.not_sent(one.document.uid, problem, counted=path in begun)
        attempts = [one.attempts + 1 for one in tried.values()]
        self._reachable_at = self._clock() + pause(min(attempts, default=1), self._first)
        LOG.warning("%s; %d documents wait", problem, len(left))


def _is_damaged(path: Path) -> bool:
    try:
        dcmread(path)
    except OSError:  # of the disk, and perhaps of the moment
        return False
    except Exception:  # noqa: BLE001  # a parser meets damaged bytes here
        return True
    return False
