"""Video: every frame by its number, in any order, at the price of the pictures since the key picture before it."""

import io
import random
import re

import cv2
import numpy as np
import pytest

from fetal_monai.dicom import Limits, UltrasoundInstance, UltrasoundReader, read_frame
from fetal_monai.dicom.colour import video_to_rgb8
from fetal_monai.dicom.fragments import FragmentStream
from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.errors import DicomReadError
from videos import SYNTAX, encode, pictures

av = pytest.importorskip("av", reason="install the package av")
COUNT = 45
FORMS = [
    (codec, form, gop) for codec in SYNTAX for form in (None, "mp4", "mpegts", "vob") for gop in ("open", "closed")
]


def write(kit, path, data, codec="h264", frames=COUNT, **options):
    shape = np.empty((frames, 48, 64, 3), np.uint8)
    return kit.write(path, shape, photometric="YBR_PARTIAL_420", syntax=SYNTAX[codec], encoded=[data], **options)


def refusal(path, frame=0, limits=None):
    with pytest.raises(DicomReadError) as caught:
        read_frame(path, frame, limits=limits or Limits())
    return str(caught.value)


def luma_in_order(data):
    """The luma of every frame as FFmpeg gives it when it decodes all from the first on."""
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="yuv420p")[:48, :64] for frame in container.decode(video=0)]


def luma_of(rgb):
    """Luma of BT.601, whatever became of the chroma."""
    return np.tensordot([0.299, 0.587, 0.114], rgb, 1)


@pytest.mark.parametrize(("codec", "form", "gop"), FORMS, ids=str)
def test_a_frame_is_the_same_in_order_and_out_of_order(kit, tmp_path, codec, form, gop):
    frames = pictures(COUNT)
    data = encode(frames, codec, form, open_gop=gop == "open")
    path = write(kit, tmp_path / "a.dcm", data, codec)
    expected = luma_in_order(data)
    assert len(expected) == COUNT
    with UltrasoundInstance(path) as instance:
        in_order = list(instance)
        for index in random.Random(0).sample(range(COUNT), COUNT):
            np.testing.assert_array_equal(instance.frame(index), in_order[index])
        for shown, luma, truth in zip(in_order, expected, frames, strict=True):
            assert np.abs(luma_of(shown) - (luma - 16.0) * 255 / 219)[40:].max() <= 1
            assert abs(int(shown[0, 44, 32]) - int(truth[44, 32, 0])) <= (20 if codec == "mpeg2video" else 3)


@pytest.mark.parametrize(("codec", "form"), [("h264", None), ("hevc", "mp4"), ("mpeg2video", "mpegts")])
def test_decoding_begins_at_the_key_picture_before_and_goes_on_from_frame_to_frame(
    kit, tmp_path, codec, form, monkeypatch
):
    path = write(kit, tmp_path / "a.dcm", encode(pictures(COUNT), codec, form, open_gop=False), codec)
    decoded = 0
    with UltrasoundInstance(path) as instance:
        instance.frame(0)
        source = instance._video._source
        pictures_from = source.pictures

        def counted(ordinal):
            nonlocal decoded
            for each in pictures_from(ordinal):
                decoded += 1
                yield each

        monkeypatch.setattr(source, "pictures", counted)
        instance.frame(COUNT - 1)
        assert decoded <= 8 + 24  # a group, and what the decoder wants to see before it shows the first
        decoded = 0
        for _ in instance:
            pass
        assert decoded <= COUNT
        decoded = 0
        for index in range(0, COUNT, 3):
            instance.frame(index)
        assert decoded <= 3 * COUNT


def test_a_video_in_many_fragments_is_read_through_a_window(kit, tmp_path):
    data = encode(pictures(COUNT), "h264", "mp4")
    one = write(kit, tmp_path / "one.dcm", data)
    many = write(kit, tmp_path / "many.dcm", data, fragments=37, offsets="none")
    np.testing.assert_array_equal(read_frame(one, 33), read_frame(many, 33))


def test_fragments_read_like_one_file():
    data = bytes(range(200))
    file = io.BytesIO(b"x" + data[:50] + b"yy" + data[50:150] + b"z" + data[150:])
    stream = FragmentStream(file, [(1, 50), (51, 0), (53, 100), (154, 50)], 204)
    assert stream.read() == data
    for start in range(0, 201, 7):
        for size in (0, 1, 49, 50, 51, 120):
            stream.seek(start)
            assert stream.read(size) == data[start : start + size]
            assert stream.tell() == min(start + size, 200)
    assert stream.seek(0, io.SEEK_END) == stream.length == 200


def test_numberofframes_that_lies_is_named(kit, tmp_path, caplog):
    data = encode(pictures(COUNT))
    more = write(kit, tmp_path / "more.dcm", data, frames=50)
    assert read_frame(more, 44).shape == (3, 48, 64)
    assert "NumberOfFrames is 50, and only 45 frames of the video are in the file" in refusal(more, 47)
    assert not caplog.records
    fewer = write(kit, tmp_path / "fewer.dcm", data, frames=40)
    np.testing.assert_array_equal(read_frame(fewer, 39), read_frame(more, 39))
    assert "fewer.dcm: NumberOfFrames is 40, but the video has 45 frames" in caplog.text
    assert "more than 30 frames" in refusal(write(kit, tmp_path / "b.dcm", data, frames=20), 3, Limits(max_frames=30))


@pytest.mark.parametrize(("codec", "form"), [("h264", None), ("h264", "mpegts"), ("mpeg2video", "vob"), ("hevc", None)])
def test_a_truncated_video_still_gives_the_frames_it_has(kit, tmp_path, codec, form):
    path = write(kit, tmp_path / "a.dcm", encode(pictures(COUNT), codec, form), codec)
    whole = [read_frame(path, index) for index in (0, 5)]
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    for index, expected in zip((0, 5), whole, strict=True):
        np.testing.assert_array_equal(read_frame(path, index), expected)
    told = re.search(r"the file is truncated, and only (\d+) frames", refusal(path, COUNT - 1))
    assert told
    assert "truncated" in refusal(path, int(told[1]))


def test_another_size_another_codec_and_no_video_are_named(kit, tmp_path):
    small = encode(pictures(9))
    wrong = kit.write(tmp_path / "a.dcm", np.empty((9, 48, 80, 3), np.uint8), syntax=SYNTAX["h264"], encoded=[small])
    assert "48 x 64, the header says 48 x 80" in refusal(wrong)
    other = write(kit, tmp_path / "b.dcm", encode(pictures(9), "hevc", "mp4"), "h264", 9)
    assert "the video is hevc, the transfer syntax says H.264" in refusal(other)
    assert "the video begins with" in refusal(write(kit, tmp_path / "c.dcm", b"RIFF" * 100, "h264", 9))
    big = encode(pictures(3, 1024, 1024))
    assert refusal(kit.write(tmp_path / "d.dcm", np.empty((3, 48, 64, 3)), syntax=SYNTAX["h264"], encoded=[big]))


def test_the_stream_says_which_colours_it_has(kit, tmp_path):
    """BT.709 and full range as the stream's own words, 10 bits by HEVC Main 10; BT.601 where it is silent."""
    frames = pictures(9)
    shades = {
        "silent": encode(frames),
        "full range": encode(frames, pixels="yuvj420p"),
        "10 bits": encode(frames, "hevc", pixels="yuv420p10le"),
    }
    for name, data in shades.items():
        codec = "hevc" if name == "10 bits" else "h264"
        frame = read_frame(write(kit, tmp_path / f"{name}.dcm", data, codec, 9), 4)
        assert np.abs(frame[:, 20:28, 20:28].astype(int) - frames[4, 20:28, 20:28].transpose(2, 0, 1)).max() <= 3, name
    silent = read_frame(tmp_path / "silent.dcm", 4)
    tagged = encode(frames, options={"x264-params": "colormatrix=bt709"})
    assert np.abs(read_frame(write(kit, tmp_path / "709.dcm", tagged, frames=9), 4).astype(int) - silent).max() > 10


@pytest.mark.parametrize("form", [None, "mpegts"])
def test_interlaced_h264_is_counted_by_the_decoder(kit, tmp_path, form):
    data = encode(pictures(COUNT), form=form, options={"flags": "+ildct"})
    path = write(kit, tmp_path / "a.dcm", data)
    luma = luma_in_order(data)
    with UltrasoundInstance(path) as instance:
        for index in (44, 3, 30, 29, 0):
            shown = instance.frame(index)
            assert np.abs(luma_of(shown) - (luma[index] - 16.0) * 255 / 219)[40:].max() <= 1


def test_the_isolated_reader_shows_video(kit, tmp_path):
    path = write(kit, tmp_path / "a.dcm", encode(pictures(COUNT)))
    reader = UltrasoundReader(isolated=True)
    for index in (0, 1, 2, 40):
        np.testing.assert_array_equal(reader.get_data(FrameRef(str(path), index))[0].numpy(), read_frame(path, index))


def test_opencv_s_own_ffmpeg_shows_the_same_frames(kit, tmp_path):
    for codec, form in (("h264", "mp4"), ("hevc", "mp4"), ("mpeg2video", "mpegts")):
        data = encode(pictures(COUNT), codec, form)
        (tmp_path / "video").write_bytes(data)
        capture = cv2.VideoCapture(str(tmp_path / "video"))
        with UltrasoundInstance(write(kit, tmp_path / "a.dcm", data, codec)) as instance:
            for ours in instance:
                there, theirs = capture.read()
                assert there
                difference = np.abs(luma_of(ours) - luma_of(theirs[..., ::-1].transpose(2, 0, 1)))
                assert difference[40:].max() <= 3
            assert not capture.read()[0]


@pytest.mark.parametrize(("matrix", "red", "blue"), [(1, 0.2126, 0.0722), (2, 0.299, 0.114), (9, 0.2627, 0.0593)])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
def test_colours_come_back_from_the_equations_of_h_273(matrix, red, blue, bits, full):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3))
    luma = rgb @ [red, 1 - red - blue, blue] / 255
    chroma = [(rgb[..., 2] / 255 - luma) / (2 - 2 * blue), (rgb[..., 0] / 255 - luma) / (2 - 2 * red)]
    scale = (1 << bits) - 1
    if full:
        stored = [luma * scale, *(each * scale + (1 << bits - 1) for each in chroma)]
    else:
        stored = [(219 * luma + 16) * (1 << bits - 8), *((224 * each + 128) * (1 << bits - 8) for each in chroma)]
    ycc = np.rint(np.stack(stored, -1)).clip(0, scale).astype(np.uint16)
    back = video_to_rgb8(ycc, bits, matrix=matrix, full=full)
    assert np.abs(back.astype(int) - rgb).max() <= 2
