"""Decoding in a process that may die: a native decoder's crash, hang or greed becomes a `DicomReadError`.

The worker is a plain child process, not one of `multiprocessing`: those are forbidden inside DataLoader workers. The
answer comes as JSON and raw pixels, so nothing that a hijacked decoder could send is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Limits
from fetal_monai.dicom.picture import Instance, open_image
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.closing import Closing

_ROOT = str(Path(__file__).parents[2])
_HEAD = struct.Struct("<LL")
_ARRAYS = ("spatial_shape", "affine")


class IsolatedDecoder(Closing):
    """A worker process that decodes frames, started when first used and again whenever it died.

    It can be pickled and forked: every process starts a worker of its own. Threads take turns.

    Args:
        timeout: seconds that one frame may take before the worker is killed.
        memory: bytes of address space that the worker may use (where the system can enforce it), or None.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> with IsolatedDecoder() as decoder:
        ...     frame, meta = decoder.decode(get_testdata_file("examples_ybr_color.dcm"), 3)
        >>> frame.shape, meta["frame"]
        ((3, 240, 320), 3)
    """

    def __init__(self, *, timeout: float = 30.0, memory: int | None = 4 << 30) -> None:
        self._timeout = timeout
        self._memory = memory
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"_timeout": self._timeout, "_memory": self._memory}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """End the worker, if this process has one."""
        if self._worker is not None and self._owner == os.getpid():
            self._worker.kill()
            self._worker.communicate()
        self._worker = None

    def decode(
        self, path: str, frame: int = STILL, *, limits: Limits = DEFAULT_LIMITS, identifiers: bool = False
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Decode one frame in the worker.

        Args:
            path: the file.
            frame: zero-based frame of a clip, or -1 for a still.
            limits: caps against hostile or broken files.
            identifiers: whether the metadata may name the patient.

        Returns:
            What `UltrasoundReader.get_data` returns.

        Raises:
            DicomReadError: if the frame cannot be read, or the worker crashed or took too long over it.
        """
        if self._owner != os.getpid():
            self._reset()  # forked: the parent's worker is not ours
        shown = None if frame == STILL else frame
        request = {"path": path, "frame": frame, "limits": asdict(limits), "identifiers": identifiers}
        with self._lock:
            answer, pixels = self._ask(json.dumps(request).encode() + b"\n", path, shown)
        if "cause" in answer:
            raise DicomReadError(path, answer["cause"], answer["remedy"], frame=answer["frame"])
        meta = {key: np.array(value) if key in _ARRAYS else value for key, value in answer["meta"].items()}
        return np.frombuffer(pixels, np.uint8).reshape(3, *answer["shape"]), meta

    def _ask(self, request: bytes, path: str, frame: int | None) -> tuple[dict[str, Any], bytearray]:
        worker = self._worker if self._worker is not None and self._worker.poll() is None else self._start()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            worker.kill()

        watchdog = threading.Timer(self._timeout, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            requests, answers = cast("BinaryIO", worker.stdin), worker.stdout
            requests.write(request)
            requests.flush()
            head, body = _HEAD.unpack(_receive(answers, _HEAD.size))
            return json.loads(_receive(answers, head)), _receive(answers, body)
        except (OSError, EOFError):
            code = worker.wait()
            self.close()
            cause = (
                f"decoding took more than {self._timeout:g} seconds and was stopped"
                if late.is_set()
                else f"the decoder crashed (exit status {code}) and was contained"
            )
            raise DicomReadError(path, cause, "leave the file out, or export it again", frame=frame) from None
        except BaseException:  # an interrupt in the middle of an answer: the rest of it must not answer the next
            self.close()
            raise
        finally:
            watchdog.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        self.close()
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        self._worker = subprocess.Popen(  # noqa: S603  # our own module in our own interpreter
            [sys.executable, "-m", "fetal_monai.dicom.isolation", str(self._memory or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self._worker


def _receive(pipe: Any, size: int) -> bytearray:
    """Exactly `size` bytes."""
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = pipe.readinto(view[done:])
        if not count:
            raise EOFError
        done += count
    return data


class _LastInstance:
    """The file that was asked for last, kept open: a video would else be searched anew for each of its frames."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._instance: Instance | None = None

    def __call__(self, path: str, limits: Limits) -> Instance:
        """The instance, opened anew where it is another file, or has changed."""
        try:
            facts = Path(path).stat()
            key: tuple[object, ...] | None = (path, limits, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        except OSError:
            key = None  # opening it will tell why
        if self._instance is None or key != self._key:
            self.close()
            self._instance = open_image(path, limits=limits)
            self._key = key
        return self._instance

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._instance is not None:
            self._instance.close()
        self._instance = None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more: the worker's whole life.

    Args:
        requests: one JSON object a line: path, frame, limits, identifiers.
        answers: for each, two lengths, a JSON object and the pixels.
    """
    with contextlib.closing(_LastInstance()) as opened:
        for line in requests:
            _answer(json.loads(line), opened, answers)


def _answer(request: dict[str, Any], opened: _LastInstance, answers: BinaryIO) -> None:
    pixels = b""
    try:
        instance = opened(request["path"], Limits(**request["limits"]))
        image = instance.frame(request["frame"])
        meta = instance.metadata(request["frame"], identifiers=request["identifiers"])
        pixels = image.tobytes()
        plain = {key: np.asarray(value).tolist() if key in _ARRAYS else value for key, value in meta.items()}
        answer: dict[str, Any] = {"shape": image.shape[1:], "meta": plain}
    except DicomReadError as error:
        answer = {"cause": error.cause, "remedy": error.remedy, "frame": error.frame}
    text = json.dumps(answer).encode()
    answers.write(_HEAD.pack(len(text), len(pixels)) + text + pixels)
    answers.flush()


def _main() -> None:
    memory = int(sys.argv[1])
    if memory:
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource  # noqa: PLC0415  # not on every system

            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a native library prints must not end up among the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
