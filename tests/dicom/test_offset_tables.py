"""Compressed frames are found by any offset table, or none."""

import numpy as np
import pytest

from fetal_monai.dicom import UltrasoundInstance, iter_frames

try:
    import imagecodecs
except ImportError:
    imagecodecs = None
from transfer_syntaxes import jpeg


@pytest.mark.parametrize(
    ("offsets", "fragments"), [("basic", 1), ("basic", 3), ("extended", 1), ("none", 1), ("none", 3)]
)
def test_frames_are_found_by_any_offset_table_or_none(kit, tmp_path, offsets, fragments):
    path, expected = jpeg("YBR_FULL", offsets=offsets, fragments=fragments)(kit, tmp_path)

    with UltrasoundInstance(path) as instance:
        backwards = [instance.frame(index) for index in (2, 1, 0)]

    for index, frame in zip((2, 1, 0), backwards, strict=True):
        assert np.abs(frame[:, 8::16, 8::16].astype(int) - expected[index, :, 8::16, 8::16]).max() <= 4


def test_an_offset_table_that_lies_is_not_believed(kit, tmp_path):
    path, expected = jpeg("YBR_FULL")(kit, tmp_path)
    data = bytearray(path.read_bytes())
    table = data.index(b"\xfe\xff\x00\xe0\x0c\x00\x00\x00") + 8
    data[table + 4] ^= 0xF6
    path.write_bytes(data)

    for frame, truth in zip(iter_frames(path), expected, strict=True):
        assert np.abs(frame[:, 8::16, 8::16].astype(int) - truth[:, 8::16, 8::16]).max() <= 4
