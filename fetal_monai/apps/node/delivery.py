"""Sending documents until they are there. A destination that is dead delays nothing but itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

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
        self._not_before: dict[str, float] = {}
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
        self._not_before = {one.document.uid: self._not_before.get(one.document.uid, now) for one in pending}
        due = [one for one in pending if self._not_before[one.document.uid] <= now][:_BATCH]
        there = {}
        for one in due:
            path = self._storage / one.document.file
            if path.is_file():
                there[path] = one
            else:
                LOG.error("study %s: a document is gone from the disk; it is made anew", one.study_uid)
                self._ledger.predict_again(one.study)
        return self._send(there) if there else 0

    def _send(self, documents: dict[Path, Delivery]) -> int:
        left = dict(documents)
        count = 0

        def arrived(path: Path, transaction: str | None) -> None:
            nonlocal count
            one = left.pop(path)
            self._ledger.sent(one.document.uid, transaction)
            count += 1
            LOG.info("study %s: document %s sent", one.study_uid, one.document.uid)

        def refused(path: Path, answer: str) -> None:
            one = left.pop(path)
            give_up = one.attempts + 1 >= _REFUSALS
            self._ledger.not_sent(one.document.uid, answer, give_up=give_up)
            self._not_before[one.document.uid] = self._clock() + pause(one.attempts + 1, self._first)
            LOG.warning("study %s: document %s %s", one.study_uid, one.document.uid, answer)

        try:
            self._destination.send(list(documents), arrived, refused)
        except Unreachable as unreachable:
            attempts = [one.attempts + 1 for one in left.values()]
            for one in left.values():
                self._ledger.not_sent(one.document.uid, str(unreachable))
            self._reachable_at = self._clock() + pause(min(attempts, default=1), self._first)
            LOG.warning("%s; %d documents wait", unreachable, len(left))
        return count
