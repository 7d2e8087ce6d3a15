"""A process of its own that predicts: what a decoder or the network does to it, the node survives.

    python -m fetal_monai.apps.node.predicting

JSON lines: first the model, then jobs in; an answer to each out. It ends when its input does, so it never outlives its
node, not even one that was killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fetal_monai.apps.node.records import Document
from fetal_monai.apps.node.wording import without_values
from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.closing import Closing

if TYPE_CHECKING:
    from fetal_monai.inference.predictor import Predictor
    from fetal_monai.study.protocol import Protocol

_ROOT = str(Path(__file__).parents[3])


class WorkerDied(Exception):  # noqa: N818
    """The process ended, or was ended because it took too long, before it answered."""


class NotNow(Exception):  # noqa: N818
    """It lacks memory or disk, as a study to come may, too: that is no fault of the study."""


@dataclass(frozen=True)
class ModelSettings:
    """What predicts.

    Args:
        model: the model folder; None: the one that comes with the package.
        protocol: name of a protocol, or a YAML file.
        device: see `Predictor`.
    """

    model: str | None = None
    protocol: str = "isuog_mid_trimester"
    device: str | None = None


class PredictionProcess(Closing):
    """The process, seen from the node. It is started when first used, and again after it died.

    Args:
        settings: of the model.
        timeout: seconds for one study.
    """

    def __init__(self, settings: ModelSettings, *, timeout: float = 3600.0) -> None:
        self._settings = settings
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Load the model, if that was not done yet.

        Raises:
            FetalMonaiError: if it cannot be used.
            WorkerDied: if the process ended while it loaded it.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-W", "ignore", "-m", __name__],  # a warning may quote a patient's name
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the node, which lets the study end
        )
        try:
            answer = self._ask(asdict(self._settings))
        except BaseException:
            self.close()  # or its first answer would be taken for that to a study
            raise
        if "error" in answer:
            self.close()
            raise FetalMonaiError(answer["error"])

    def report(self, job: dict[str, Any]) -> list[Document]:
        """Have a study reported.

        Args:
            job: the fields of a `Job`.

        Returns:
            Its documents.

        Raises:
            FetalMonaiError: if the model cannot be used, or the study cannot be reported.
            NotNow: if it is to be tried again later.
            WorkerDied: if the process did not survive it.
        """
        self.start()
        answer = self._ask(job)
        if "retry" in answer:
            raise NotNow(answer["retry"])
        if "error" in answer:
            raise FetalMonaiError(answer["error"])
        return [Document(**document) for document in answer["documents"]]

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()  # type: ignore[union-attr]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerDied("it is not running")
        watchdog = threading.Timer(self._timeout, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):  # a broken pipe, a closed one
            line = ""
        finally:
            watchdog.cancel()
        if not line.endswith("\n"):
            raise WorkerDied(f"the prediction process ended with status {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Answer what comes in, until nothing does."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    first = json.loads(lines.get())
    try:
        logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # like warnings
        from fetal_monai.inference.predictor import Predictor  # noqa: PLC0415  # torch: seconds
        from fetal_monai.study.protocol import load_protocol  # noqa: PLC0415

        predictor = Predictor(first["model"], first["device"])
        protocol = load_protocol(first["protocol"], predictor.class_names)
    except FetalMonaiError as error:
        _answer(out, {"error": str(error)})
        return
    _answer(out, {"ready": True})
    while True:
        _answer(out, answer_job(json.loads(lines.get()), predictor, protocol))


def answer_job(job: dict[str, Any], predictor: Predictor, protocol: Protocol) -> dict[str, Any]:
    """Report a study, and tell how it went.

    Args:
        job: the fields of a `Job`.
        predictor: the model.
        protocol: see `report_study`.

    Returns:
        Its documents; or the error of the study; or why it is to be tried again.
    """
    from torch import OutOfMemoryError  # noqa: PLC0415

    from fetal_monai.apps.node.report import Job, report_study  # noqa: PLC0415

    previous = job["previous"]
    task = Job(**{**job, "previous": previous and Document(**previous)})
    try:
        return {"documents": [asdict(one) for one in report_study(task, predictor, protocol)]}
    except FetalMonaiError as error:
        return {"error": without_values(str(error))}
    except (OSError, MemoryError, OutOfMemoryError) as error:  # a full disk, no memory: of the moment
        reason = getattr(error, "strerror", None) or "there is not enough memory"
        return {"retry": f"{type(error).__name__}: {reason}"}
    except Exception as error:  # noqa: BLE001  # told by its kind: its words may quote a patient's name
        return {"error": f"the prediction failed: {type(error).__name__}; please report this"}


def _listen(source: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in source:
        lines.put(line)
    os._exit(0)  # the node is gone, or wants this to end


def _answer(out: IO[str], content: dict[str, Any]) -> None:
    out.write(json.dumps(content) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
