"""What becomes of attributes that the profile's table does not list: whatever could say who somebody is goes."""

from __future__ import annotations

from pydicom.datadict import dictionary_is_retired, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.uid import UID

_PATIENT_GROUP = 0x0010
_IMAGE_GROUPS = frozenset({0x0008, 0x0018, 0x0020, 0x0028})
_SHORT_TEXT = frozenset({"AE", "LO", "SH", "UC"})
_ANY_TEXT = frozenset({"LT", "ST", "UR", "UT"})
_DATES = frozenset({"AS", "DA", "DT", "TM"})
_OF_STANDARDS = frozenset({"ContextUID", "CodingSchemeUID", "MappingResourceUID", "TransferSyntaxUID"})


def action_of_unlisted(element: DataElement) -> str:
    """Say what becomes of an attribute that the table does not list.

    Args:
        element: with a tag of the dictionary.

    Returns:
        A code of the table: X for what goes (free text, addresses, dates, attributes of the patient, text where images
        have none or where the dictionary has none, retired attributes), Z for names, U for UIDs that nobody but the
        file's maker gave; empty for what may stay.

    Example:
        >>> action_of_unlisted(DataElement("Manufacturer", "LO", "Maker")), action_of_unlisted(
        ...     DataElement("RetrieveURL", "UR", "https://pacs/7?patient=7")
        ... )
        ('', 'X')
    """
    keyword = keyword_for_tag(element.tag)
    registered = set(dictionary_VR(element.tag).split(" or "))
    representations = {element.VR, *registered}
    if "PN" in representations:
        return "Z"
    if element.tag.group == _PATIENT_GROUP or dictionary_is_retired(element.tag):
        return "X"
    if representations & (_ANY_TEXT | _DATES):
        return "X"
    if element.VR in _SHORT_TEXT:
        foreign = not registered & _SHORT_TEXT  # text where the dictionary has numbers or codes
        elsewhere = element.tag.group not in _IMAGE_GROUPS
        return "X" if foreign or elsewhere or keyword == "FrameOfInterestDescription" else ""
    return "U" if "UI" in representations and not _of_a_standard(keyword, element) else ""


def _of_a_standard(keyword: str, element: DataElement) -> bool:
    """Whether a UID says of what kind something is, not which one."""
    if "SOPClass" in keyword or keyword in _OF_STANDARDS:
        return True
    values = [element.value] if isinstance(element.value, str) else list(element.value or ())
    return all(UID(str(value)).name != str(value) for value in values)  # of the dictionary
