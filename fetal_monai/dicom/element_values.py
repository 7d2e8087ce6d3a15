"""Values of header elements, past pydicom's conversions where the bytes are plain: those are half of opening a file."""

from __future__ import annotations

from functools import cache

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from fetal_monai.dicom.limits import Fault


@cache
def tag_of(keyword: str) -> int:
    """The tag of a keyword.

    Raises:
        KeyError: if DICOM has no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


def text(dataset: Dataset, keyword: str) -> str:
    """An element as text without padding, "" where it is absent.

    Example:
        >>> data = Dataset()
        >>> data.Modality = "US"
        >>> text(data, "Modality"), text(data, "Manufacturer")
        ('US', '')
    """
    tag = tag_of(keyword)
    if tag not in dataset:
        return ""
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and element.value.isascii():
        return element.value.decode("ascii").strip(" \0")
    value = dataset[tag].value
    return "" if value is None else str(value).strip()


def integer(dataset: Dataset, keyword: str, default: int | None, low: int, high: int) -> int:
    """An element as a whole number within bounds.

    Args:
        dataset: the header.
        keyword: of the element.
        default: what stands for an absent one; None where it must be there.
        low: the least that makes sense.
        high: the most.

    Returns:
        The number.

    Raises:
        Fault: if it is missing, no number, or outside of the bounds.
    """
    tag = tag_of(keyword)
    element = dataset.get_item(tag) if tag in dataset else None
    if isinstance(element, RawDataElement) and element.VR == "US" and len(element.value or b"") == 2:
        number = int.from_bytes(element.value or b"", "little" if element.is_little_endian else "big")
    else:
        value = (
            text(dataset, keyword)
            if isinstance(element, RawDataElement) and element.VR == "IS"
            else dataset.get(keyword)
        )
        if value in (None, ""):
            if default is None:
                raise Fault(f"{keyword} is missing")
            return default
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise Fault(f"{keyword} is {str(value)[:40]!r}, not a number") from None
    if not low <= number <= high:
        raise Fault(f"{keyword} is {number}, outside of {low} to {high}")
    return number


def frame_count(dataset: Dataset, high: int) -> int:
    """Tell how many frames a file with pixels has.

    Args:
        dataset: the header.
        high: the most that make sense.

    Returns:
        NumberOfFrames; 1 where it is absent, or 0, as some writers have it for stills.

    Raises:
        Fault: if it is no number, or outside of the bounds.
    """
    return max(1, integer(dataset, "NumberOfFrames", 1, 0, high))
