"""What stands in a structured report or a key object selection, by its codes."""

from __future__ import annotations

from pydicom.multival import MultiValue


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


def references(node):
    """Every reference to an image, however deep."""
    for item in node.get("ContentSequence", ()):
        if item.ValueType == "IMAGE":
            yield item.ReferencedSOPSequence[0]
        yield from references(item)


def frames_of(reference):
    """The frames that it names, from 0; None for the whole instance."""
    numbers = reference.get("ReferencedFrameNumber")
    if numbers is None:
        return None
    return [int(number) - 1 for number in (numbers if isinstance(numbers, MultiValue) else [numbers])]
