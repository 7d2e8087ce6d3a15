"""Damage files, real and made, in seeded ways and read them: only a `DicomReadError` or a valid image may come of it.

With `--imports`, data sets and tables of labels are damaged and imported instead.

Every mutant is numbered, and its number makes it, given the same files: `--only 1234` repeats one. Mutants are read in
worker processes that are watched for crashes, hangs (2 seconds) and greed (200 MB above rest).

    python benchmarks/fuzz_dicom.py [--count 20000] [--start N] [--only N] [--imports]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import import_mutants
import numpy as np
from dicom_mutants import mutant, seeds

from fetal_monai.dicom import UltrasoundInstance, index_dicom
from fetal_monai.errors import DicomReadError

SECONDS, MEGABYTES = 2.0, 200.0


def read_one(path: Path) -> str:
    """Read a damaged file as a pipeline would: "error" or "image"; anything else that happens is a finding."""
    try:
        with UltrasoundInstance(path) as instance:
            for frame in {0, len(instance) - 1} if len(instance) > 1 else (-1,):
                image = instance.frame(frame)
                if image.dtype != np.uint8 or image.shape != (3, instance.layout.rows, instance.layout.columns):
                    raise AssertionError(f"an image of {image.dtype} {image.shape}")
                json.dumps(instance.metadata(frame), default=np.ndarray.tolist)
    except DicomReadError:
        return "error"
    return "image"


def resident() -> float:
    """MB of memory of this process at its peak since the last reset, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak() -> None:
    """Let the peak be the present size, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def work(*, imports: bool) -> None:
    """A worker: numbers come in, one line of findings each goes out."""
    warnings.simplefilter("ignore")
    files = [] if imports else seeds()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.zip" if imports else "m.dcm")
        for line in sys.stdin:
            story, data = import_mutants.mutant(int(line)) if imports else mutant(int(line), files)
            path.write_bytes(data)
            reset_peak()
            before, start = resident(), time.perf_counter()
            try:
                outcome = import_mutants.import_one(story, path) if imports else read_one(path)
                if not imports:
                    index_dicom(folder)
            except BaseException as error:  # noqa: BLE001  # exactly what must not happen
                outcome = f"{type(error).__name__}: {str(error)[:150]}"
            seconds, growth = time.perf_counter() - start, resident() - before
            print(json.dumps([outcome, round(seconds, 3), round(growth, 1), story]), flush=True)


def fuzz(
    numbers: range | list[int], *, tolerate_slow: float = 1.0, show: bool = False, imports: bool = False
) -> collections.Counter[str]:
    """Read mutants in a watched worker.

    Args:
        numbers: which.
        tolerate_slow: factor on the time allowed, for busy machines.
        show: whether to print progress and findings.
        imports: whether data sets and tables are meant instead of DICOM files.

    Returns:
        How often each outcome came: "error", "image", and findings by their first words.
    """
    counts: collections.Counter[str] = collections.Counter()
    worker: subprocess.Popen[str] | None = None
    for number in numbers:
        if worker is None or worker.poll() is not None:
            _end(worker)
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "OFF"}
            worker = subprocess.Popen(
                [sys.executable, __file__, "--work", *["--imports"] * imports],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        watchdog = threading.Timer(60, worker.kill)
        watchdog.start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{number}\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        watchdog.cancel()
        if not line:
            finding = "the process died"
            story = import_mutants.mutant(number) if imports else mutant(number, seeds())
            detail = f"exit status {worker.wait()}: {story[0]}"
        else:
            outcome, seconds, growth, detail = json.loads(line)
            finding = outcome
            if seconds > SECONDS * tolerate_slow:
                finding = f"slow: {seconds:.1f} s"
            elif growth > MEGABYTES:
                finding = f"greedy: {growth:.0f} MB"
        counts[finding if finding in ("error", "image") else f"FINDING {number} {finding}"] += 1
        if show and finding not in ("error", "image"):
            print(f"{number}: {finding} ({detail})", flush=True)
    _end(worker)
    return counts


def _end(worker: subprocess.Popen[str] | None) -> None:
    """Close a worker's pipes, at which it ends, and wait for it."""
    if worker is not None:
        with worker:
            pass


def main() -> None:
    """Fuzz and print what came of it; exit with 1 on findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this one mutant, in this process")
    parser.add_argument("--imports", action="store_true", help="data sets and tables instead of DICOM files")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(imports=options.imports)
        return
    if options.only is not None:
        only, imports = options.only, options.imports
        story, data = import_mutants.mutant(only) if imports else mutant(only, seeds())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.zip" if imports else "m.dcm")
            path.write_bytes(data)
            print(story, len(data), "bytes")
            print(import_mutants.import_one(story, path) if imports else read_one(path))
        return
    begin = time.perf_counter()
    counts = fuzz(range(options.start, options.start + options.count), show=True, imports=options.imports)
    what = "data sets and tables" if options.imports else f"{len(seeds())} files"
    findings = {key: value for key, value in counts.items() if key not in ("error", "image")}
    print(
        f"{options.count} mutants of {what} in {time.perf_counter() - begin:.0f} s: "
        f"{counts['error']} refused, {counts['image']} read, {len(findings)} findings"
    )
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
