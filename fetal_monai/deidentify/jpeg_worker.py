"""`blank_blocks` in a process of its own: libjpeg ends the process on damaged images, and works on files.

Those files lie in a folder that only this user can read and that goes with the worker, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from fetal_monai.deidentify.jpeg_blocks import Blocks, blank_blocks
from fetal_monai.utils.closing import Closing

_ROOT = str(Path(__file__).parents[2])


class JpegWorker(Closing):
    """Runs `blank_blocks` elsewhere; a context manager. The process starts when it is first needed.

    Args:
        timeout: seconds that one image may take.
    """

    def __init__(self, *, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """End the process and remove its files."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._folder = None

    def blank(self, data: bytes, kept: Sequence[Blocks], dark: Sequence[bool]) -> bytes | None:
        """Blank blocks as `blank_blocks` does.

        Args:
            data: the JPEG image.
            kept: the blocks that stay, of each component.
            dark: what blank is, of each component.

        Returns:
            The image, or None where that failed.
        """
        process = self._process or self._start()
        head = json.dumps({"size": len(data), "shapes": [blocks.shape for blocks in kept], "dark": list(dark)})
        watchdog = threading.Timer(self._timeout, process.kill)
        watchdog.start()
        try:
            requests, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            requests.write(head.encode() + b"\n" + data + b"".join(blocks.tobytes() for blocks in kept))
            requests.flush()
            line = answers.readline()
            size = int(line) if line else 0
            result = answers.read(size)
        except OSError:
            result, size = b"", 0
        finally:
            watchdog.cancel()
        if not size or len(result) != size:
            self.close()  # it may have died, or lag behind
            return None
        return result

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder = tempfile.TemporaryDirectory(prefix="fetal_monai_")
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(  # noqa: S603  # our own module in our own interpreter
            [sys.executable, "-m", "fetal_monai.deidentify.jpeg_worker", self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": self._folder.name},
        )
        return self._process


def serve(requests: BinaryIO, answers: BinaryIO, folder: Path) -> None:
    """Answer requests until there are no more: the worker's whole life.

    Args:
        requests: a line of JSON (size, shapes, dark), the image and its blocks, a byte each.
        answers: for each a line with the size of the image, 0 where it failed, and the image.
        folder: for temporary files.
    """
    for line in requests:
        head = json.loads(line)
        data = requests.read(head["size"])
        kept = [np.frombuffer(requests.read(math.prod(shape)), bool).reshape(shape) for shape in head["shapes"]]
        result = b""
        with contextlib.suppress(Exception):  # the caller then goes another way
            result = blank_blocks(data, kept, head["dark"], folder)
        answers.write(f"{len(result)}\n".encode() + result)
        answers.flush()


def _main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libjpeg prints must not end up among the answers
    serve(cast("BinaryIO", sys.stdin.buffer), answers, Path(sys.argv[1]))


if __name__ == "__main__":
    _main()
