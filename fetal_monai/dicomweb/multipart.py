"""The first part of a multipart answer (RFC 2046), piece by piece: no instance is ever whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message
from itertools import islice

from fetal_monai.dicomweb.faults import ArchiveError

_LONGEST_HEADERS = 1 << 16


def first_part(content_type: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    r"""Yield the content of the first part; all of an answer that has no parts.

    Args:
        content_type: of the answer.
        pieces: its body, cut anywhere.

    Yields:
        Pieces of the content.

    Raises:
        ArchiveError: if the answer is neither multipart nor DICOM, holds no part, or ends before the part does.

    Example:
        >>> body = [b"--x\r\nContent-Type: application/dicom\r\n\r\nDI", b"CM\r\n-", b"-x--\r\n"]
        >>> b"".join(first_part('multipart/related; boundary="x"', body))
        b'DICM'
    """
    head = Message()
    head["Content-Type"] = content_type
    if head.get_content_type() in {"application/dicom", "application/octet-stream"}:
        yield from pieces
        return
    boundary = head.get_boundary()
    if head.get_content_maintype() != "multipart" or not boundary:
        kind = head.get_content_type() if content_type else "no type"
        raise ArchiveError(f"the archive answers with {kind} instead of DICOM; give the URL of the DICOMweb service")
    yield from _content(boundary.encode(), iter(pieces))


def _content(boundary: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    mark = b"\r\n--" + boundary
    held = _after(mark, b"\r\n", pieces)  # a boundary may open the body, without a line before it
    held = _after(b"\r\n\r\n", held, pieces)
    keep = len(mark) - 1  # the mark may lie across pieces
    while (end := held.find(mark)) < 0:
        yield held[:-keep]
        held = held[-keep:] + _next(pieces, "breaks off in the middle of an instance; try again")
    yield held[:end]
    for _ in islice(pieces, 2):  # the last few bytes, so that the connection can be used again
        pass


def _after(mark: bytes, held: bytes, pieces: Iterator[bytes]) -> bytes:
    """What follows a mark that has to come soon."""
    while mark not in held:
        if len(held) > _LONGEST_HEADERS:
            raise ArchiveError("the archive's answer does not begin like multipart DICOM; look at the archive")
        held += _next(pieces, "holds no instance; look whether it still has it")
    return held.partition(mark)[2]


def _next(pieces: Iterator[bytes], problem: str) -> bytes:
    piece = next(pieces, b"")
    if not piece:
        raise ArchiveError(f"the archive's answer {problem}", passing=True)
    return piece
