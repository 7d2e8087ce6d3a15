"""What stands in a structured report, by its codes."""

from __future__ import annotations


def items(node, code):
    """Content items below a node by the code value of their concept name."""
    return [
        item
        for item in node.get("ContentSequence", ())
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code
    ]


def groups(dataset):
    (measurements,) = items(dataset, "126010")
    return items(measurements, "125007")


def coded(group, code):
    return [item.ConceptCodeSequence[0].CodeValue for item in items(group, code)]
