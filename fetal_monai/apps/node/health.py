"""Whether a node can do its work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fetal_monai.apps.node.limits import NodeLimits, Refused


class Health:
    """What is watched of a node. A study that failed is no ailment: that it failed is told elsewhere.

    Args:
        storage: the storage folder.
        limits: whose reserve of the disk counts.

    Example:
        >>> import tempfile
        >>> health = Health(Path(tempfile.mkdtemp()), NodeLimits(reserve_bytes=1))
        >>> health.problems()
        ['it is starting']
        >>> health.watch("receiving", lambda: True)
        >>> health.problems()
        []
    """

    def __init__(self, storage: Path, limits: NodeLimits) -> None:
        self._storage, self._limits = storage, limits
        self._parts: dict[str, Callable[[], bool]] = {}

    def watch(self, name: str, alive: Callable[[], bool]) -> None:
        """Watch a part of the node.

        Args:
            name: what it does.
            alive: whether it still does.
        """
        self._parts = {**self._parts, name: alive}

    def problems(self) -> list[str]:
        """Look at all parts and at the disk.

        Returns:
            What is wrong; empty if nothing is.
        """
        found = [f"{name} has ended" for name, alive in self._parts.items() if not alive()]
        if not self._parts:
            found.append("it is starting")
        try:
            self._limits.check_disk(self._storage)
        except Refused as refused:
            found.append(f"the disk is nearly full: {refused}")
        except OSError as error:
            found.append(f"the storage folder cannot be used: {error.strerror}")
        return found
