"""What Prometheus reads of a node, in its text format (version 0.0.4). Counts only: no UID, no name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

import fetal_monai
from fetal_monai.apps.node.limits import NodeLimits, Status
from fetal_monai.apps.node.queue import Queue

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "fetal_monai_node_"
_WAITING = ("studies.receiving", "studies.closed", "documents.pending")
_REFUSALS = {f"{status:04X}": status.name.lower() for status in Status if status is not Status.SUCCESS}


def metrics(queue: Queue, storage: Path, limits: NodeLimits, *, healthy: bool) -> str:
    """Tell Prometheus.

    Args:
        queue: of the node.
        storage: its folder.
        limits: whose reserve of the disk counts.
        healthy: see `Health`.

    Returns:
        Text, whose last line ends.

    Raises:
        OSError: if the folder is gone.
        sqlite3.Error: if the queue cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with Queue(folder, create=True) as queue:
        ...     "fetal_monai_node_objects 0" in metrics(queue, folder, NodeLimits(), healthy=True).splitlines()
        True
    """
    counts = queue.counters()
    since = queue.waiting_since()
    lines = [
        *_family("info", "gauge", "The version that runs.", {("version", fetal_monai.__version__): 1}),
        *_family("healthy", "gauge", "1 if /health answers 200.", {None: int(healthy)}),
        *_family("objects", "gauge", "Objects received and kept.", {None: counts["objects"]}),
        *_family("objects_repeated_total", "counter", "Objects sent again.", {None: counts.get("repeated", 0)}),
        *_family("objects_refused_total", "counter", "Objects refused, by reason.", _refusals(counts)),
        *_family(
            "associations_rejected_total",
            "counter",
            "Associations rejected.",
            {None: counts.get("associations.rejected", 0)},
        ),
        *_family(
            "predictions_died_total",
            "counter",
            "Predictions that their process did not survive.",
            {None: counts.get("predictions.died", 0)},
        ),
        *_family("studies", "gauge", "Studies, by state.", _by_state(counts, "studies.")),
        *_family("documents", "gauge", "Reports and key objects, by state.", _by_state(counts, "documents.")),
        *_family(
            "oldest_seconds",
            "gauge",
            "For how long the longest waiting has waited; 0 if nothing does.",
            {("waiting", name): _age(since.get(name)) for name in _WAITING},
        ),
        *_family("disk_free_bytes", "gauge", "Free for the storage folder.", {None: shutil.disk_usage(storage).free}),
        *_family("disk_reserve_bytes", "gauge", "Below, no object is taken.", {None: limits.reserve_bytes}),
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, explained: str, values: Mapping[tuple[str, str] | None, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {explained}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    for label, value in values.items():
        yield f"{_PREFIX}{name}{_label(label)} {value}"


def _label(label: tuple[str, str] | None) -> str:
    if label is None:
        return ""
    text = label[1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{label[0]}="{text}"}}'


def _refusals(counts: Mapping[str, int]) -> dict[tuple[str, str] | None, float]:
    return {("reason", reason): counts.get(f"refused.{code}", 0) for code, reason in _REFUSALS.items()}


def _by_state(counts: Mapping[str, int], prefix: str) -> dict[tuple[str, str] | None, float]:
    found = {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
    return {("state", state): count for state, count in found.items()}


def _age(since: str | None) -> float:
    """Seconds, by a clock that may have been set meanwhile: never below 0."""
    if since is None:
        return 0.0
    return max(0.0, round((datetime.now(timezone.utc) - datetime.fromisoformat(since)).total_seconds(), 3))
