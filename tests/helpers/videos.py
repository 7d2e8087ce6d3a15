"""Videos made to measure with PyAV's encoders: every frame tells its number in its level."""

import io

import numpy as np
import pytest

ROWS, COLUMNS = 48, 64
SYNTAX = {"mpeg2video": "1.2.840.10008.1.2.4.100", "h264": "1.2.840.10008.1.2.4.102", "hevc": "1.2.840.10008.1.2.4.107"}
ENCODERS = {"mpeg2video": "mpeg2video", "h264": "libx264", "hevc": "libx265"}
BARE = {"mpeg2video": "mpeg2video", "h264": "h264", "hevc": "hevc"}


def pictures(count, rows=ROWS, columns=COLUMNS):
    """(count, rows, columns, 3): a grey level for each frame, and a coloured block that moves."""
    frames = np.empty((count, rows, columns, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[:] = 20 + index * 37 % 200
        left = 16 * (index % 3)
        frame[16:32, left : left + 16] = (200, 60, 60)
    return frames


def encode(frames, codec="h264", form=None, *, gop=8, open_gop=True, pixels="yuv420p", options=None, encoder=None):
    """The bytes of a video.

    Args:
        form: "mp4", "mpegts", "vob" (a program stream), or None for a bare stream.
        gop: frames from one key picture to the next.
        open_gop: whether pictures may lead a key picture and refer to those before it.
    """
    av = pytest.importorskip("av", reason="install the package av")
    x26 = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=3:b-adapt=0:open-gop={int(open_gop)}"
    given = {
        "mpeg2video": {"qmin": "1", "qmax": "2"}
        | ({} if open_gop else {"flags": "+cgop", "sc_threshold": "1000000000"}),
        "h264": {"x264-params": x26, "crf": "4"},
        "hevc": {"x265-params": f"{x26}:log-level=none:crf=4"},
    }[codec]
    out = io.BytesIO()
    with av.open(out, "w", format=form or BARE[codec]) as container:
        stream = container.add_stream(encoder or ENCODERS[codec], rate=25, options=given | (options or {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, 2
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()
