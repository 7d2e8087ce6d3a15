"""Frames of a video (MPEG-2, H.264, HEVC) by their number: decoding begins at the key picture before, or goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.colour import upsample_420, video_to_rgb8
from fetal_monai.dicom.decoders import VIDEO_CODECS, Samples
from fetal_monai.dicom.fragments import FragmentStream
from fetal_monai.dicom.limits import Fault, Limits
from fetal_monai.dicom.pixel_layout import PixelLayout
from fetal_monai.dicom.video_source import VideoSource, max_pixels, open_source, video_package

logger = logging.getLogger(__name__)

_BITS = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10}
_COPY_AGAIN = "copy it again from the source"


class Video:
    """The frames of one video, counted in the order in which they are shown.

    Going on from one frame to a later one decodes what lies between; going back, or over a key picture, begins anew
    at the key picture before. One frame is kept, and what the decoder itself refers to.

    Args:
        stream: the compressed bytes.
        syntax: TransferSyntaxUID, one of `VIDEO_CODECS`.
        layout: what the header says of the pixels.
        limits: caps on the number of frames and on the bytes of one.
        name: what a warning calls the file.

    Raises:
        Fault: if PyAV is missing, or the bytes are no such video.
    """

    def __init__(self, stream: FragmentStream, syntax: str, layout: PixelLayout, limits: Limits, name: str) -> None:
        self._layout = layout
        self._truncated = stream.truncated
        size = layout.rows, layout.columns
        self._source: VideoSource = open_source(stream, VIDEO_CODECS[syntax], layout.frames, size, limits)
        self._av = video_package()
        self._decoder = self._av.CodecContext.create(self._source.codec, "r")
        self._decoder.extradata = self._source.extradata
        self._decoder.thread_count = 1
        # Not strict, the decoder of H.264 would show pictures before their order is certain.
        self._decoder.options = {"strict": "1", "max_pixels": str(max_pixels(size))}
        self._linear = False
        self._next = 0
        self._frames: Iterator[tuple[int, Any]] | None = None
        self._last: tuple[int, Samples] | None = None
        shown = self._source.shown
        if shown is not None and shown > layout.frames:
            logger.warning("%s: NumberOfFrames is %d, but the video has %d frames", name, layout.frames, shown)

    def samples(self, index: int) -> Samples:
        """Decode one frame.

        Args:
            index: zero-based.

        Returns:
            RGB of 8 bits.

        Raises:
            Fault: if it is not there, is damaged, or is not what the header says.
        """
        if self._last is None or self._last[0] != index:
            try:
                frame = self._find(index)
            except BaseException:
                self._frames = None
                raise
            self._last = index, Samples(self._rgb(frame), "RGB", 8, signed=False)
        return self._last[1]

    def _find(self, index: int) -> Any:
        shown = self._source.shown
        if shown is not None and index >= shown:
            raise self._missing(shown)
        ordinal, place = self._begin(index)
        if self._frames is None or index < self._next or place > self._next:
            self._frames = self._run(ordinal, place)
        for number, frame in self._frames:
            self._next = number + 1
            if frame.interlaced_frame and self._source.codec == "h264" and not self._linear:
                # Two fields may have been sent as two pictures: only the decoder can count frames then.
                self._linear, self._source.shown, self._frames = True, None, None
                return self._find(index)
            if number == index:
                return frame
            if number > index:
                raise Fault("the frame cannot be decoded: the video is damaged before it")
        raise self._missing(self._next)

    def _begin(self, index: int) -> tuple[int, int]:
        """Where to begin for a frame: the key picture's place in the order of sending, and of showing."""
        if self._linear or self._source.shown is None:
            return 0, 0
        key = self._source.key_before(index)
        if key is None:
            raise Fault("the frame cannot be decoded: the video has no key picture before it")
        return key

    def _missing(self, shown: int) -> Fault:
        cause = "the file is truncated" if self._truncated else f"NumberOfFrames is {self._layout.frames}"
        return Fault(f"{cause}, and only {shown} frames of the video are in the file", _COPY_AGAIN)

    def _run(self, ordinal: int, place: int) -> Iterator[tuple[int, Any]]:
        """Decode from a key picture on: (place, frame). What leads it refers to pictures before and is left out."""
        self._decoder.flush_buffers()
        self._next = place
        counted = not self._linear and self._source.shown is not None
        started = not counted
        for frame in self._decoded(ordinal):
            if not started:
                if frame.pts != ordinal:
                    continue
                started = True
            known = self._source.place(frame.pts) if counted and frame.pts is not None else None
            place = max(place, known or 0)  # frames that were lost are counted
            yield place, frame
            place += 1

    def _decoded(self, ordinal: int) -> Iterator[Any]:
        try:
            for number, packet in self._source.pictures(ordinal):
                packet.pts = packet.dts = number
                yield from self._decoder.decode(packet)
            yield from self._decoder.decode(None)
        except self._av.FFmpegError as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Fault(f"the video is damaged: {reason[:200]}") from error

    def _rgb(self, frame: Any) -> NDArray[np.uint8]:
        layout = self._layout
        if (frame.height, frame.width) != (layout.rows, layout.columns):
            raise Fault(
                f"the video is {frame.height} x {frame.width}, the header says {layout.rows} x {layout.columns}"
            )
        if frame.is_corrupt:
            raise Fault("the frame of the video is damaged")
        bits = _BITS.get(frame.format.name)
        if bits is None:
            raise Fault(f"the video's pixels are {frame.format.name}, not 4:2:0")
        luma, blue, red = (_plane(plane, bits) for plane in frame.planes)
        ycc = upsample_420(luma, blue, red)
        full = frame.format.name.startswith("yuvj") or int(frame.color_range) == 2
        return video_to_rgb8(ycc, bits, matrix=int(frame.colorspace), full=full)


def _plane(plane: Any, bits: int) -> NDArray[Any]:
    """One plane without the padding of its lines."""
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return lines[:, : plane.width * kind.itemsize].copy().view(kind)
