"""From quiet studies to reports: one study after another, in the order in which they became quiet."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container
from dataclasses import asdict
from pathlib import Path

from fetal_monai.apps.node.delivery import pause
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.predicting import NotNow, PredictionProcess, WorkerDied
from fetal_monai.apps.node.records import CLOSED, RECEIVING, QueuedStudy
from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.closing import Closing

LOG = logging.getLogger(__name__)
REPORTS = "reports"
_DEATHS = 3


class QuietTime:
    """Tells which studies have been quiet for long enough, by a clock that nobody sets.

    After a start every study is quiet from the start on: how long it was before, nobody knows.

    Args:
        seconds: of quiet.
        clock: monotonic.

    Example:
        >>> now = [0.0]
        >>> quiet = QuietTime(30, lambda: now[0])
        >>> study = QueuedStudy("k", "1.2", "receiving", 1, 0, 1, 0, "", "")
        >>> [quiet.over([study], set()) for now[0] in (0.0, 29.0)], len(quiet.over([study], {"k"}))
        ([[], []], 0)
        >>> now[0] = 59.0
        >>> [one.key for one in quiet.over([study], set())]
        ['k']
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: dict[str, tuple[int, float]] = {}

    def over(self, receiving: list[QueuedStudy], busy: Container[str]) -> list[QueuedStudy]:
        """Look at the studies that are receiving.

        Args:
            receiving: all of them.
            busy: keys of those of which more is just coming in.

        Returns:
            Those that are quiet.
        """
        now = self._clock()
        since = {}
        for study in receiving:
            revision, start = self._since.get(study.key, (study.revision, now))
            since[study.key] = study.revision, now if revision != study.revision or study.key in busy else start
        self._since = since
        return [study for study in receiving if now - since[study.key][1] >= self._seconds]


class Worker(Closing):
    """A thread that closes quiet studies and has them predicted.

    Args:
        storage: the storage folder.
        ledger: the queue.
        process: what predicts.
        quiet: seconds without a new object until a study counts as complete.
        busy: gives the keys of studies that are being received.
        fatal: is called if the model cannot be used at all.
        wake: is called when there is something to send.
        first_pause: seconds to wait where it is no study's fault that it cannot be predicted; see `pause`.
    """

    def __init__(
        self,
        storage: Path,
        ledger: Ledger,
        process: PredictionProcess,
        *,
        quiet: float,
        busy: Callable[[], Container[str]] = frozenset,
        fatal: Callable[[FetalMonaiError], None] = lambda error: None,  # noqa: ARG005
        wake: Callable[[], None] = lambda: None,
        first_pause: float = 5.0,
    ) -> None:
        self._storage, self._ledger, self._process = storage, ledger, process
        self._busy, self._fatal, self._wake = busy, fatal, wake
        self._quiet = QuietTime(quiet)
        self._pause = min(max(quiet / 10, 0.05), 1.0)
        self._first_pause, self._waits = first_pause, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-worker")
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Begin no other study."""
        self._stop.set()

    def close(self) -> None:
        """Let the study that is being predicted end, and begin no other."""
        self.stop()
        self._thread.join()
        self._process.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._has_model():
                    return
                for study in self._quiet.over(self._ledger.studies(RECEIVING), self._busy()):
                    self._ledger.close_study(study.key, study.revision)
                if waiting := self._ledger.longest(CLOSED):
                    self._predict(waiting)
                    continue
            except Exception as error:  # noqa: BLE001  # a full disk, a locked file, no process: it is tried again
                LOG.error("the worker: %s", type(error).__name__)  # noqa: TRY400
                self._stop.wait(self._first_pause)
            self._stop.wait(self._pause)

    def _has_model(self) -> bool:
        try:
            self._process.start()
        except (FetalMonaiError, WorkerDied) as error:  # of the model, not of any study
            self._fatal(error if isinstance(error, FetalMonaiError) else FetalMonaiError(str(error)))
            return False
        return True

    def _predict(self, study: QueuedStudy) -> None:
        objects, previous = self._ledger.instances(study.key), self._ledger.previous(study.key)
        job = {
            "files": [str(self._storage / one.file) for one in objects],
            "digests": [f"{one.uid} {one.digest}" for one in objects],
            "folder": str(self._storage / REPORTS / study.key),
            "previous": previous and asdict(previous),
        }
        if not objects:
            self._ledger.fail_study(study.key, study.revision, "its objects are gone: send them again")
            return
        start = time.monotonic()
        try:
            documents = self._process.report(job)
        except WorkerDied as died:
            LOG.error("study %s: %s", study.uid, died)  # noqa: TRY400
            self._ledger.count("predictions.died")
            if self._ledger.prediction_died(study.key) >= _DEATHS:
                error = f"{died}; so it did {_DEATHS} times: look for an object that breaks a decoder, or for memory"
                self._ledger.fail_study(study.key, study.revision, error)
            return
        except NotNow as reason:
            LOG.error("study %s waits: %s", study.uid, reason)  # noqa: TRY400
            self._ledger.postpone(study.key, study.revision, f"waits: {reason}")
            self._waits += 1
            self._stop.wait(pause(self._waits, self._first_pause))
            return
        except FetalMonaiError as error:
            self._waits = 0
            LOG.warning("study %s: no report", study.uid)
            self._ledger.fail_study(study.key, study.revision, str(error))
            return
        self._waits = 0
        if self._ledger.finish_prediction(study.key, study.revision, documents, previous):
            seconds = time.monotonic() - start
            LOG.info("study %s: %d objects reported in %.1f s", study.uid, len(objects), seconds)
            self._wake()
