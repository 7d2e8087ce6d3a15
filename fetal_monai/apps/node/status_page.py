"""What a person sees of a node: its queue, and what was found in a study. UIDs only, no names, no pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fetal_monai.apps.node.limits import Status
from fetal_monai.apps.node.queue import Queue, now
from fetal_monai.apps.node.records import FAILED, KEY_OBJECTS, PENDING, STATES, SUPERSEDED, Delivery, QueuedStudy
from fetal_monai.report.page import render_page

MOST = 50
"""Rows of a table: a page of thousands helps nobody."""
_EXPLAINED = {
    "receiving": "objects come in",
    "closed": "waits for its prediction",
    "predicted": "report written",
    "sent": "report delivered",
    "failed": "needs a person",
}


def status_page(queue: Queue, *, nonce: str, problems: Sequence[str] = (), tried: str | None = None) -> str:
    """Write the page of the queue.

    Args:
        queue: of the node.
        nonce: see `render_page`.
        problems: what is wrong with the node, see `Health`.
        tried: key of a study that a person just had tried again.

    Returns:
        HTML.

    Raises:
        sqlite3.Error: if the queue cannot be read.
    """
    counts = queue.counters()
    refused = {name.removeprefix("refused."): n for name, n in counts.items() if name.startswith("refused.")}
    again = queue.study(tried) if tried else None
    return render_page(
        "node_status.html",
        title="DICOM node",
        nonce=nonce,
        at=told(now()),
        problems=problems,
        tried=again.uid if again else "",
        states=[(state, _EXPLAINED[state], counts[f"studies.{state}"]) for state in STATES],
        documents=[(state, counts[f"documents.{state}"]) for state in (PENDING, "sent", FAILED, SUPERSEDED)],
        objects=counts["objects"],
        refused=[(_reason(code), count) for code, count in sorted(refused.items())],
        rejected=counts.get("associations.rejected", 0),
        waiting={name: told(since) for name, since in queue.waiting_since().items()},
        studies=[_study(study) for study in queue.studies(limit=MOST)],
        failures=[_study(study) for study in queue.failures(limit=MOST)],
        failed=counts[f"studies.{FAILED}"],
        deliveries=[_delivery(one) for one in queue.deliveries(PENDING, limit=MOST)],
        total=sum(counts[f"studies.{state}"] for state in STATES),
    )


def study_page(queue: Queue, storage: Path, key: str, *, nonce: str) -> str | None:
    """Write the page of a study: what its newest report says, and where that has got to.

    Args:
        queue: of the node.
        storage: its folder.
        key: of the study.
        nonce: see `render_page`.

    Returns:
        HTML, without pictures; None if there is no such study.

    Raises:
        sqlite3.Error: if the queue cannot be read.
    """
    study = queue.study(key)
    if study is None:
        return None
    deliveries = queue.deliveries(study=key)
    found = _findings(storage, [one for one in deliveries if one.version == study.version])
    return render_page(
        "node_study.html",
        title=f"Study {study.uid}",
        nonce=nonce,
        study=_study(study),
        explained=_EXPLAINED[study.state],
        found=found,
        deliveries=[_delivery(one) for one in deliveries],
    )


def message_page(title: str, message: str, *, nonce: str) -> str:
    """Write a page that says one thing.

    Args:
        title: of it.
        message: what it says.
        nonce: see `render_page`.

    Returns:
        HTML.
    """
    return render_page("node_message.html", title=title, message=message, nonce=nonce)


def told(time: str) -> str:
    """Shorten a time of the queue for people.

    Args:
        time: UTC.

    Returns:
        To the second.

    Example:
        >>> told("2026-03-01T10:20:30.123456+00:00")
        '2026-03-01 10:20:30'
    """
    return time[:19].replace("T", " ")


def _study(study: QueuedStudy) -> dict[str, Any]:
    return {**vars(study), "changed": told(study.changed_at)}


def _delivery(one: Delivery) -> dict[str, Any]:
    kind = "Key objects" if one.document.sop_class == KEY_OBJECTS else "Report"
    return {**vars(one), "uid": one.document.uid, "kind": kind, "changed": told(one.changed_at)}


def _reason(code: str) -> str:
    known = {f"{status:04X}": status.name.lower().replace("_", " ") for status in Status}
    return f"{known.get(code, 'for another reason')} ({code})"


def _findings(storage: Path, newest: Sequence[Delivery]) -> dict[str, Any] | None:
    """Of the study.json beside the newest report; its messages may quote files, and stay there."""
    for one in newest:
        if one.document.sop_class == KEY_OBJECTS:
            continue
        try:
            text = (storage / one.document.file).with_suffix(".json").read_text(encoding="utf-8")
            content = json.loads(text)
            return {
                "protocol": content["protocol"]["title"],
                "model": content["model"],
                "items": [_item(item) for item in content["checklist"]],
                "stills": len(content["stills"]),
                "clips": len(content["clips"]),
                "unread": len(content["failures"]),
            }
        except (OSError, ValueError, KeyError, TypeError):  # put away, or of another version
            return None
    return None


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    best = item["best"] or {}
    frame = best.get("frame", -1)
    return {
        "title": item["title"],
        "status": item["status"],
        "uid": best.get("sop_instance_uid", ""),
        "frame": frame if frame >= 0 else None,
        "confidence": best.get("confidence"),
    }
