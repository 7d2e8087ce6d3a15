"""One frame costs one frame: bytes read and memory, not seconds."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from fetal_monai.dicom import UltrasoundInstance, iter_frames, read_frame

COUNT = 300
LINUX = Path("/proc/self/io")


@pytest.fixture(scope="module", params=["native", "basic", "extended", "none", "none, in pieces"])
def clip(kit, request, tmp_path_factory):
    """300 frames of 96 x 128, each telling its number in its level, and the bytes of one frame."""
    frames = np.repeat(np.arange(COUNT, dtype=np.uint8).reshape(-1, 1, 1, 1), 96, 1).repeat(128, 2).repeat(3, 3)
    path = tmp_path_factory.mktemp("clip") / "clip.dcm"
    if request.param == "native":
        return kit.write(path, frames), 96 * 128 * 3
    noise = np.random.default_rng(0).integers(0, 2, (96, 128, 3), np.uint8)
    encoded = [simplejpeg.encode_jpeg(np.ascontiguousarray(frame // 2 * 2 + noise), 95) for frame in frames]
    offsets, _, pieces = request.param.partition(", ")
    kit.write(path, frames, photometric="YBR_FULL_422", encoded=encoded, syntax="1.2.840.10008.1.2.4.50",
              offsets=offsets, fragments=2 if pieces else 1)  # fmt: skip
    return path, max(map(len, encoded))


def bytes_read():
    return int(LINUX.read_text().split("rchar: ")[1].split()[0])


@pytest.mark.skipif(not LINUX.exists(), reason="counts bytes by /proc/self/io")
def test_a_frame_of_a_clip_reads_little_more_than_itself(clip):
    path, frame_bytes = clip
    before = bytes_read()
    image = read_frame(path, 217)
    spent = bytes_read() - before
    assert abs(int(image.mean()) - 217) <= 2
    # The header and offset table or fragment headers are read too, 8 to 14 bytes a fragment, and a buffer's rest.
    assert spent < frame_bytes + 48 * COUNT + 2 * 8192
    assert spent < path.stat().st_size / 8


def test_streaming_holds_one_frame(clip):
    path, _ = clip
    levels = []
    tracemalloc.start()
    for frame in iter_frames(path):
        levels.append(int(frame.mean()))
        del frame
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(np.array(levels) - np.arange(COUNT) % 256).max() <= 2
    assert peak < 12 * 96 * 128 * 3


def test_frames_come_in_any_order_from_one_open_file(clip):
    with UltrasoundInstance(clip[0]) as instance:
        for index in (299, 0, 150, 150, 3):
            assert abs(int(instance.frame(index).mean()) - index % 256) <= 2


def test_opening_reads_the_header_only(kit, tmp_path):
    path = kit.write(tmp_path / "a.dcm", np.zeros((1, 2000, 2000), np.uint8), photometric="MONOCHROME2")
    tracemalloc.start()
    with UltrasoundInstance(path) as instance:
        assert instance.layout.rows == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000
