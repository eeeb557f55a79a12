"""Pictures out of whatever FFmpeg opens: files and network streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from time import monotonic
from typing import Any

import av
import av.error
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from yolotrack.errors import SourceError
from yolotrack.model import Pixels
from yolotrack.video.base import Picture, SourceInfo
from yolotrack.video.fit import SizeGuard, check_size, fit, orient
from yolotrack.video.timing import FASTEST_RATE, Clock, Selection

NETWORK_TIMEOUT = 10.0
"""Seconds without a byte after which a server counts as dead."""
LOST_PACKETS = 100
"""Broken packets in a row after which the rest of a file counts as lost."""
LONGEST_GOP = 10.0
"""Seconds to go further back where a container seeks to pictures that are no keyframes."""
TEXT_FORMATS = frozenset({"tty"})
"""FFmpeg draws text files as if a terminal showed them."""
_GENERATE_TIMES = 0x1  # AVFMT_FLAG_GENPTS

_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (av.error.InvalidDataError, "it is no video, or damaged from its start; give a video that plays"),
    (av.error.EOFError, "it ends before its first picture; give a video that plays"),
    (av.error.ConnectionRefusedError, "nothing listens there; check host and port"),
    (av.error.HTTPUnauthorizedError, "the server asks for a password; write user:password@ before the host"),
    (av.error.HTTPForbiddenError, "the server forbids it; check user and password"),
    (av.error.HTTPNotFoundError, "the server does not have it; check the path"),
    (av.error.PermissionError, "permission denied; check your rights to it"),
    (av.error.ProtocolNotFoundError, "unknown kind of URL; use http, https or rtsp"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """What to open."""

    url: str
    """As FFmpeg wants it."""
    name: str
    """As the user may read it."""
    stream: str
    remote: bool


class ContainerReader:
    """One video stream of a file or URL.

    Pictures come upright (rotation and mirroring of the display matrix applied), and letterboxed to the size
    of the first where the size changes on the way. The sample aspect ratio is ignored: pictures are as coded.
    Packets that are cut off or that the decoder refuses are skipped and counted; a picture that the decoder
    could patch up is shown, as players do. A later picture that is too large is skipped and counted, too.
    """

    def __init__(self, target: Target, selection: Selection) -> None:
        """`SourceError` where it cannot be opened, or holds none of the chosen pictures."""
        self._target = target
        self._selection = selection
        self._reformatter = VideoReformatter()
        self._rotation: int | None = None
        self._matrix: list[int] | None = None
        self._guard = SizeGuard(target.name)
        self._connect()
        try:
            timed = selection.pick(self._from_start())
            first = next(timed, None)
            if first is None:
                raise SourceError(
                    f"cannot read {target.name}: no picture{selection} can be decoded; "
                    "give a video that plays, or another --start and --end"
                )
            check_size(target.name, first[1].width, first[1].height)
            self.info = self._describe(first[1])
        except BaseException:
            self.close()
            raise
        self._timed = chain((first,), timed)

    def pictures(self) -> Iterator[Picture]:
        """Every picture, once. `SourceError` where a server stops answering or a disk fails."""
        for time, frame in self._timed:
            if self._guard.refuses(frame.width, frame.height):
                self.skipped += 1
            else:
                yield Picture(self._pixels(frame), time)

    def close(self) -> None:
        """Close the file or connection; idempotent."""
        self._container.close()

    def _connect(self) -> None:
        self.skipped = 0
        with _translated(self._target):
            self._container = _open(self._target)
        try:
            self._stream = _video_stream(self._container, self._target.name)
            check_size(self._target.name, self._stream.width, self._stream.height)
        except BaseException:
            self.close()
            raise
        self._live = self._target.remote and self._container.duration is None
        # Frame threads hold pictures back: too late for a camera.
        self._stream.thread_type = ThreadType.SLICE if self._live else ThreadType.AUTO
        # Times that the demuxer makes up for AVI are out of order; the decoder's own are right.
        self._container.flags &= ~_GENERATE_TIMES

    def _describe(self, frame: VideoFrame) -> SourceInfo:
        height, width = self._upright(np.empty((frame.height, frame.width, 3), np.uint8), frame).shape[:2]
        rate = _rate(self._stream)
        return SourceInfo(
            name=self._target.name,
            stream=self._target.stream,
            width=width,
            height=height,
            rate=self._selection.rate(rate),
            frame_count=None if self._live else self._selection.count(self._frame_count(rate), rate),
            live=self._live,
        )

    def _frame_count(self, rate: Fraction | None) -> int | None:
        if self._stream.frames > 0:
            return self._stream.frames
        if rate and self._stream.duration and self._stream.time_base:
            return round(self._stream.duration * self._stream.time_base * rate)
        if rate and self._container.duration:
            return round(self._container.duration * rate / av.time_base)
        return None

    def _from_start(self) -> Iterator[tuple[float, VideoFrame]]:
        """Pairs from the keyframe before the start on, or from the beginning where there is no seeking."""
        start = self._selection.start
        for target in (start, start - LONGEST_GOP):
            if target > 0 and self._seek(target):
                timed = self._timed_frames()
                first = next(timed, None)
                if first is not None and first[1].pts is not None and first[0] <= start:
                    return chain((first,), timed)
                self.close()
                self._connect()
        return self._timed_frames()

    def _seek(self, time: float) -> bool:
        if self._live or self._stream.start_time is None or not self._stream.time_base:
            return False
        try:
            offset = self._stream.start_time + round(time / self._stream.time_base)
            self._container.seek(offset, stream=self._stream)
        except av.error.FFmpegError:
            return False
        return True

    def _timed_frames(self) -> Iterator[tuple[float, VideoFrame]]:
        frames = (frame for packet in self._packets() for frame in self._decode(packet))
        first = next(frames, None)
        if first is None:
            return
        origin = None if self._live or first.pts is None else self._stream.start_time
        clock = Clock(self._stream.time_base or Fraction(1, 90_000), origin, _rate(self._stream))
        for frame in chain((first,), frames):
            yield clock.time(frame.dts if frame.pts is None else frame.pts), frame

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """What the container holds; the last one flushes the decoder."""
        lost = 0
        demuxer = self._container.demux(self._stream)
        while lost < LOST_PACKETS:
            try:
                with _translated(self._target, but=av.error.InvalidDataError):
                    packet = next(demuxer, None)
            except av.error.InvalidDataError:
                lost += 1
                self.skipped += 1
                demuxer = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            lost = 0
            yield packet
        yield None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        if packet is not None and packet.is_corrupt and self._container.format.name != "mpegts":
            self.skipped += 1  # cut off; in a transport stream it is a hint, which the decoder can judge better
            return []
        try:
            return self._stream.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.skipped += 1
            return []

    def _pixels(self, frame: VideoFrame) -> Pixels:
        # One thread: at these sizes starting more costs swscale three times what it does.
        bgr: Any = self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray()
        upright = np.ascontiguousarray(self._upright(bgr, frame), np.uint8)
        return fit(upright, self.info.width, self.info.height)

    def _upright(self, pixels: Pixels, frame: VideoFrame) -> Pixels:
        if frame.rotation != self._rotation:
            # Looked up once a change: a frame asked for its side data lives until the next garbage collection.
            self._rotation, self._matrix = frame.rotation, _display_matrix(frame)
        return pixels if self._matrix is None else orient(pixels, self._matrix)


def _open(target: Target) -> InputContainer:
    if not target.remote:
        return av.open(target.url, "r")
    options = {"rtsp_transport": "tcp"} if target.url.startswith(("rtsp:", "rtsps:")) else {}
    return av.open(target.url, "r", options=options, timeout=NETWORK_TIMEOUT)


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    streams = [found for found in container.streams.video if not found.disposition & Disposition.attached_pic]
    if container.format.name in TEXT_FORMATS:
        raise SourceError(f"cannot read {name}: it is a text file; give a video")
    if not streams:
        kind = "only sound" if container.streams.audio else "no pictures"
        raise SourceError(f"cannot read {name}: it holds {kind}; give a video")
    if streams[0].codec_context is None:
        raise SourceError(f"cannot read {name}: FFmpeg has no decoder for it; convert it to H.264 first")
    return streams[0]


def _rate(stream: VideoStream) -> Fraction | None:
    """The nominal rate (30000/1001) where the average is near it, as with lost pictures; else the average."""
    average, nominal = stream.average_rate, stream.base_rate
    if average and nominal and abs(average / nominal - 1) < 0.02:
        average = nominal
    return average if average and 0 < average <= FASTEST_RATE else None


def _display_matrix(frame: VideoFrame) -> list[int] | None:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else [int(number) for number in np.frombuffer(matrix, np.int32)]


@contextmanager
def _translated(target: Target, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """FFmpeg's errors as ours, except for `but`."""
    begin = monotonic()
    try:
        yield
    except av.error.FFmpegError as error:
        # RTSP calls a server that fell silent invalid data.
        silent = target.remote and monotonic() - begin >= NETWORK_TIMEOUT
        if isinstance(error, but) and not silent:
            raise
        failure = SourceError(f"cannot read {target.name}: {_reason(error, target.remote, silent)}")
        # FFmpeg's error repeats the URL, password and all.
        raise failure from (None if target.remote else error)


def _reason(error: av.error.FFmpegError, remote: bool, silent: bool) -> str:
    if silent or isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return f"no data for {NETWORK_TIMEOUT:g} s; check the address, and that the server is up"
    advice = "check the address and the network" if remote else "check that it is whole"
    hints = (hint for kind, hint in _HINTS if isinstance(error, kind))
    return next(hints, f"{error.strerror}; {advice}")
