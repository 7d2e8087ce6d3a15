"""What Prometheus and a container's engine read of a node."""

from __future__ import annotations

import re

from fetal_monai.apps.node.limits import NodeLimits
from node_status import status

__all__ = ["status"]

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\n]|\\[\\"n])*)"\})? (-?\d+(?:\.\d+)?)')


def parsed(text):
    """Samples of Prometheus' text format 0.0.4; each family has HELP and TYPE before it, and stands in one piece."""
    assert text.endswith("\n")
    samples, family = {}, None
    seen = set()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert len(line.split(" ", 3)[3]) > 5
            assert family not in seen
            seen.add(family)
            kind = re.fullmatch(rf"# TYPE {family} (counter|gauge)", next(lines))[1]
            assert (kind == "counter") == family.endswith("_total")
            continue
        name, label, value, number = SAMPLE.fullmatch(line).groups()
        assert name == family
        assert (name, label, value) not in samples
        samples[name, label, value] = float(number)
    return {(name.removeprefix("fetal_monai_node_"), value): number for (name, _, value), number in samples.items()}


def test_prometheus_reads_the_metrics(status):
    code, text, headers = status.ask("/metrics")
    assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = parsed(text)
    expected = {
        ("objects", None): 3,
        ("objects_refused_total", "out_of_resources"): 2,
        ("objects_refused_total", "no_ultrasound"): 0,
        ("studies", "failed"): 1,
        ("studies", "sent"): 1,
        ("studies", "predicted"): 1,
        ("studies", "receiving"): 0,
        ("documents", "sent"): 2,
        ("documents", "pending"): 1,
        ("healthy", None): 1,
        ("disk_reserve_bytes", None): 1,
        ("oldest_seconds", "studies.closed"): 0,
    }
    assert found | expected == found
    assert 0 < found["oldest_seconds", "documents.pending"] < 300
    assert found["disk_free_bytes", None] > 0
    assert "1.2.1" not in text


def test_health_is_what_the_node_can_do(status, monkeypatch):
    assert status.ask("/health")[:2] == (200, "ok\n")
    status.health.watch("sending", lambda: False)
    assert status.ask("/health")[:2] == (503, "sending has ended\n")
    status.health.watch("sending", lambda: True)
    assert status.ask("/health")[0] == 200
    monkeypatch.setattr(status.health, "_limits", NodeLimits(reserve_bytes=1 << 60))
    code, text, _ = status.ask("/health")
    assert (code, "the disk is nearly full" in text) == (503, True)
    assert "the disk is nearly full" in status.ask()[1]
    assert parsed(status.ask("/metrics")[1])["healthy", None] == 0
