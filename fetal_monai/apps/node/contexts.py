"""Which objects a node takes, in which transfer syntaxes: what a conformance statement lists."""

from __future__ import annotations

from importlib.util import find_spec

from fetal_monai.dicom.decoders import NATIVE_SYNTAXES, VIDEO_CODECS, supported_syntaxes

STORAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.6.1": "Ultrasound Image Storage",
    "1.2.840.10008.5.1.4.1.1.3.1": "Ultrasound Multi-frame Image Storage",
    "1.2.840.10008.5.1.4.1.1.6": "Ultrasound Image Storage (retired)",
    "1.2.840.10008.5.1.4.1.1.3": "Ultrasound Multi-frame Image Storage (retired)",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image Storage",
}
"""SOP Class UID -> name. Old scanners and archives wrap ultrasound as secondary captures; those of other modalities are
refused object by object."""

_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))
_EXPLICIT, _IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def transfer_syntaxes() -> list[str]:
    """List the transfer syntaxes that this installation reads: video and JPEG XL need packages of their own.

    Returns:
        UIDs. The node takes the first that a peer offers in the same presentation context: compressed before
        uncompressed, so that nobody unfolds a clip for its sake.

    Example:
        >>> transfer_syntaxes()[-3:]
        ['1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2']
    """
    missing = frozenset[str]()
    if find_spec("av") is None:
        missing |= VIDEO_CODECS.keys()
    if find_spec("imagecodecs") is None:
        missing |= _JPEG_XL
    readable = supported_syntaxes() - missing
    compressed = sorted(readable - NATIVE_SYNTAXES)
    native = sorted(NATIVE_SYNTAXES - {_EXPLICIT, _IMPLICIT}, reverse=True)
    return [*compressed, *sorted(native, key=lambda uid: uid.endswith(".2")), _EXPLICIT, _IMPLICIT]
