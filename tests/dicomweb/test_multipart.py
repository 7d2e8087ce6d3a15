"""Multipart answers: however they are cut on their way, the content is what was sent, or it is said to be cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import encode_multipart_formdata

from fetal_monai.dicomweb.faults import ArchiveError
from fetal_monai.dicomweb.multipart import first_part

near_the_mark = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"--cu", b"\r\n--cu", b"\r\n", b"x"])).map(
    b"".join
)
KIND = 'multipart/related; type="application/dicom"; boundary="cut"'


def message(content, preamble=b""):
    return preamble + b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--cut--\r\n"


def pieces_of(body, cuts):
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    return [body[a:b] for a, b in pairwise(places)]


@given(
    st.one_of(st.binary(max_size=200), near_the_mark),
    st.lists(st.integers(0, 1000)),
    st.sampled_from([b"", b"hello\r\n"]),
)
def test_however_it_is_cut(content, cuts, preamble):
    if b"\r\n--cut" in b"\r\n" + content:
        return
    assert b"".join(first_part(KIND, pieces_of(message(content, preamble), cuts))) == content


@given(st.binary(min_size=1, max_size=60), st.integers(0, 200), st.lists(st.integers(0, 1000)))
def test_wherever_it_ends_too_soon_it_is_said(content, end, cuts):
    body = message(content)
    end %= len(body) - len(b"--\r\n")  # what follows the mark is no content
    if b"--cut" in content:
        return
    with pytest.raises(ArchiveError):
        b"".join(first_part(KIND, pieces_of(body[:end], cuts)))


def test_what_urllib3_writes():
    body, kind = encode_multipart_formdata(
        [("a", ("a.dcm", b"DICM" * 50, "application/dicom")), ("b", ("b.dcm", b"another", "application/dicom"))]
    )
    assert b"".join(first_part(kind, [body])) == b"DICM" * 50
