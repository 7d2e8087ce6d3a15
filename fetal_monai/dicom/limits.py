"""Caps on what a file may ask for, checked before anything is allocated, and the fault that breaks them."""

from __future__ import annotations

from dataclasses import dataclass


class Fault(Exception):  # noqa: N818  # `DicomReadError` is the error; this is its reason on the way up
    """Something wrong with the bytes at hand, told without knowing the file's name.

    The layer that knows the path turns it into a `DicomReadError`.

    Args:
        cause: what is wrong, without a full stop at the end.
        remedy: what the user can do about it.
    """

    def __init__(self, cause: str, remedy: str = "export the file again from the scanner or the archive") -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}; {remedy}")


@dataclass(frozen=True)
class Limits:
    """The most that one file may ask for. A clinical scanner stays far below; a hostile or broken header does not.

    Args:
        max_frame_pixels: rows x columns of one frame.
        max_frames: frames of one instance.
        max_total_pixels: rows x columns x frames of one instance.
        max_frame_bytes: compressed, and decoded, bytes of one frame.
        max_element_bytes: bytes of one header element that is read (longer unread ones are skipped, which is free).
        max_header_elements: elements of the header that are visited, those in sequences included.
        max_inflated_bytes: bytes that a deflated file may unfold to, up to the frame asked for.

    Example:
        >>> Limits(max_frames=10).max_frames
        10
    """

    max_frame_pixels: int = 1 << 24
    max_frames: int = 100_000
    max_total_pixels: int = 1 << 38
    max_frame_bytes: int = 1 << 27
    max_element_bytes: int = 1 << 20
    max_header_elements: int = 50_000
    max_inflated_bytes: int = 1 << 29


DEFAULT_LIMITS = Limits()
