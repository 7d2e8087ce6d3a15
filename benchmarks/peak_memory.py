"""How much memory a process took at most."""

from __future__ import annotations

from pathlib import Path


def peak_mib() -> float:
    """Peak resident memory of this process's program so far, in MiB.

    Linux counts it per address space (VmHWM). `getrusage` does not serve: a program inherits there the peak of the one
    that started it, so that every child of a large parent seems large.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
