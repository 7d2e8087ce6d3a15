"""The compressed pictures of a video in the order of sending, from any key picture on: bare streams and containers."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from fetal_monai.dicom.fragments import FragmentStream
from fetal_monai.dicom.limits import Fault, Limits
from fetal_monai.dicom.video_pictures import PictureOrder

_CHUNK = 1 << 16
_NAMES = {"mpeg2video": "MPEG-2", "h264": "H.264", "hevc": "HEVC"}
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"}


def video_package() -> ModuleType:
    """PyAV.

    Raises:
        Fault: if it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise Fault("decoding video needs the package av", "pip install 'fetal_monai[video]'") from error


def open_source(stream: FragmentStream, codec: str, frames: int, size: tuple[int, int], limits: Limits) -> VideoSource:
    """Find out how the video is wrapped: a bare stream, MPEG program or transport stream, or MP4.

    Args:
        stream: the bytes.
        codec: "mpeg2video", "h264" or "hevc".
        frames: NumberOfFrames.
        size: (rows, columns) of the header.
        limits: caps on the number of pictures and on the bytes of one.

    Returns:
        The source.

    Raises:
        Fault: if it is none of these, or another codec than the transfer syntax says.
    """
    stream.seek(0)
    head = stream.read(192) or b""
    if head[:4] == b"\0\0\1\xba":
        return _Multiplex(stream, codec, "mpeg", size, limits)
    if head[:1] == b"\x47" and head[188:189] in {b"\x47", b""}:
        return _Multiplex(stream, codec, "mpegts", size, limits)
    if head[4:8] in _BOXES:
        return _Mp4(stream, codec, frames, size, limits)
    if head.lstrip(b"\0")[:1] == b"\1" and head[:2] == b"\0\0":
        return _BareStream(stream, codec, limits)
    raise Fault(f"the video begins with {head[:8].hex()}, like no {_NAMES[codec]} stream, MPEG stream or MP4 file")


class VideoSource:
    """Pictures by their ordinals in the order of sending.

    Args:
        stream: the bytes.
        codec: the decoder's name.
        limits: caps.
    """

    def __init__(self, stream: FragmentStream, codec: str, limits: Limits) -> None:
        self.codec = codec
        self.extradata: bytes | None = None
        """What the container keeps apart of the headers."""
        self.shown: int | None = None
        """How many frames there are, as far as one can know without decoding."""
        self._av = video_package()
        self._stream = stream
        self._limits = limits
        self._keys: dict[int, int] = {}

    def place(self, ordinal: int) -> int | None:
        """The place of a key picture in the order of showing; None for other pictures."""
        return self._keys.get(ordinal)

    def key_before(self, frame: int) -> tuple[int, int] | None:
        """The last key picture that is shown at or before a frame: (ordinal, place), or None."""
        before = [(ordinal, place) for ordinal, place in self._keys.items() if place <= frame]
        return before[-1] if before else None

    def pictures(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        """The pictures from one on, with their ordinals; the one is the first or a key picture."""
        raise NotImplementedError

    def _count(self, order: PictureOrder) -> None:
        if order.sent > self._limits.max_frames:
            raise Fault(
                f"the video has more than {self._limits.max_frames} frames",
                "the file is damaged; or raise Limits.max_frames",
            )

    def _indexed(self, order: PictureOrder) -> None:
        if order.sent == 0:
            raise Fault(f"the video holds no {_NAMES[self.codec]} picture")
        self._keys = order.keys
        self.shown = order.shown if order.keys else None

    def _too_large(self, size: int) -> None:
        if size > self._limits.max_frame_bytes:
            raise Fault(
                f"a compressed frame exceeds the limit of {self._limits.max_frame_bytes} bytes",
                "the file is damaged; or raise Limits.max_frame_bytes",
            )


class _BareStream(VideoSource):
    """An elementary stream: pictures lie side by side and are read without a look at the others."""

    def __init__(self, stream: FragmentStream, codec: str, limits: Limits) -> None:
        super().__init__(stream, codec, limits)
        order = PictureOrder(codec)
        self._starts = [0]
        stream.seek(0)
        parser = self._av.CodecContext.create(codec, "r")
        fed = 0
        while chunk := stream.read(_CHUNK):
            fed += len(chunk)
            self._add(parser.parse(chunk), order)
            self._too_large(fed - self._starts[-1])
        if not stream.truncated:  # else the last picture is not whole
            self._add(parser.parse(None), order)
        self._indexed(order)

    def _add(self, packets: list[Any], order: PictureOrder) -> None:
        for packet in packets:
            order.add(bytes(packet))
            self._starts.append(self._starts[-1] + packet.size)
            self._count(order)

    def pictures(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        for number in range(ordinal, len(self._starts) - 1):
            self._stream.seek(self._starts[number])
            yield number, self._av.Packet(self._stream.read(self._starts[number + 1] - self._starts[number]))


class _Container(VideoSource):
    """What libavformat takes apart. Only the one format that the first bytes tell is ever tried."""

    def __init__(self, stream: FragmentStream, codec: str, form: str, size: tuple[int, int], limits: Limits) -> None:
        super().__init__(stream, codec, limits)
        self._form = form
        self._options = {
            "format_whitelist": form,
            "codec_whitelist": codec,
            "max_pixels": str(max_pixels(size)),
            "max_streams": "16",
        }
        self._open()
        self.extradata = self._video.codec_context.extradata

    def _open(self) -> None:
        self._stream.seek(0)
        try:
            self._container = self._av.open(self._stream, "r", format=self._form, options=self._options)
        except self._av.FFmpegError as error:
            raise Fault(f"the video cannot be opened: {_reason(error)}") from error
        videos = self._container.streams.video
        if not videos:
            raise Fault("the container holds no video")
        self._video = videos[0]
        name = self._video.codec_context.name if self._video.codec_context else "unknown"
        if name != self.codec:
            raise Fault(f"the video is {name}, the transfer syntax says {_NAMES[self.codec]}")

    def _packets(self) -> Iterator[Any]:
        """The packets from the present position on."""
        try:
            for packet in self._container.demux(self._video):
                if packet.size:
                    self._too_large(packet.size)
                    yield packet
        except self._av.FFmpegError as error:
            raise Fault(f"the video is damaged: {_reason(error)}") from error


class _Multiplex(_Container):
    """A program or transport stream: read through once, for it has no table of pictures."""

    def __init__(self, stream: FragmentStream, codec: str, form: str, size: tuple[int, int], limits: Limits) -> None:
        super().__init__(stream, codec, form, size, limits)
        order = PictureOrder(codec)
        self._times: dict[int, tuple[int | None, int | None]] = {}
        ascending, last = True, None
        for packet in self._packets():
            order.add(bytes(packet))
            if order.sent - 1 in order.keys:
                self._times[order.sent - 1] = packet.pts, packet.dts
            ascending = ascending and packet.dts is not None and (last is None or packet.dts > last)
            last = packet.dts
            self._count(order)
        if form == "mpeg" or not ascending:  # a time that comes twice, or never, leads nowhere
            self._times = {}
        self._indexed(order)
        self._sent = order.sent - self._stream.truncated

    def pictures(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        for number, packet in self._from(ordinal):
            if number >= self._sent:
                return
            yield number, packet

    def _from(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        pts, dts = self._times.get(ordinal, (None, None))
        if ordinal and pts is not None and dts is not None:
            self._container.seek(dts, stream=self._video)
            packets = self._packets()
            for packet in packets:
                if (packet.pts, packet.dts) == (pts, dts):
                    yield ordinal, packet
                    yield from enumerate(packets, ordinal + 1)
                    return
                if packet.dts is None or packet.dts > dts:
                    break
        self._open()  # from the beginning, without decoding
        for number, packet in enumerate(self._packets()):
            if number >= ordinal:
                yield number, packet


class _Mp4(_Container):
    """An MP4 file: its table tells the key pictures, and only those that are needed are read."""

    def __init__(self, stream: FragmentStream, codec: str, frames: int, size: tuple[int, int], limits: Limits) -> None:
        super().__init__(stream, codec, "mov", size, limits)
        if len(self._video.index_entries) < frames:  # in movie fragments, which are found on the way
            for _ in self._packets():
                pass
        entries = self._video.index_entries
        if not len(entries):
            raise Fault(f"the video holds no {_NAMES[self.codec]} picture")
        if len(entries) > limits.max_frames:
            raise Fault(f"the video has more than {limits.max_frames} frames")
        self._table = [(entry.pos, entry.size, entry.timestamp) for entry in entries]
        self._candidates = [number for number, entry in enumerate(entries) if entry.is_keyframe]
        self.shown = len(self._table)

    def key_before(self, frame: int) -> tuple[int, int] | None:
        for ordinal in reversed(self._candidates):
            if ordinal <= frame:
                if ordinal not in self._keys:
                    self._keys[ordinal] = ordinal + self._leads(ordinal)
                if self._keys[ordinal] <= frame:
                    return ordinal, self._keys[ordinal]
        return None

    def _leads(self, ordinal: int) -> int:
        """How many pictures are sent after a key picture and shown before it."""
        position, _, time = self._table[ordinal]
        self._container.seek(time, stream=self._video)
        packets = self._packets()
        key = next((packet for packet in packets if packet.pos == position), None)
        if key is None or key.pts is None:
            raise Fault("the video's table of pictures is damaged")
        return sum(
            1 for _ in itertools.takewhile(lambda packet: packet.pts is not None and packet.pts < key.pts, packets)
        )

    def pictures(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        for number in range(ordinal, len(self._table)):
            position, size, _ = self._table[number]
            self._too_large(size)
            self._stream.seek(position)
            data = self._stream.read(size) or b""
            if len(data) < size:
                return
            yield number, self._av.Packet(data)


def max_pixels(size: tuple[int, int]) -> int:
    """The most pixels that a picture of a size takes up in a decoder, whose blocks stand over its edges."""
    rows, columns = size
    return (rows + 128) * (columns + 128)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]
