"""Video out: pictures as one file that plays everywhere."""

from __future__ import annotations

import logging
from contextlib import suppress
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from yolotrack.draft import Draft, system_reason
from yolotrack.errors import OutputError
from yolotrack.model import Pixels
from yolotrack.video.base import Sink
from yolotrack.video.codecs import add_video, check_codec
from yolotrack.video.fit import fit
from yolotrack.video.planes import yuv420p
from yolotrack.video.sound import Sound

if TYPE_CHECKING:
    from yolotrack.config import OutputSettings

log = logging.getLogger(__name__)

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
FINEST = 90_000
"""Ticks per second, at least: MPEG's clock."""
NOMINAL_RATE = Fraction(30)
"""What encoder and container are told where nobody knows the rate; times are exact all the same."""
FEW = 2
"""Pictures without which x265 makes up the decoding time of the first one. So few are coded in order."""
ROUNDING = Fraction(1, 1000)
"""Seconds by which a time may miss the grid of the rate and still be meant to be on it: Matroska's unit."""


class VideoSink:
    """H.264, HEVC or AV1, yuv420p, constant quality; the index in front.

    Times: one time base that divides the rate's period exactly, at least as fine as 1/90000 s. A picture
    within a millisecond of the rate's grid is put on it, so a constant rate comes out exact; any other keeps
    its time. The first picture is at 0; the last lasts a period of the rate, or where there is none as long as
    the one before it. Odd sides are lengthened by a pixel; pictures of another size are letterboxed.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        rate: Fraction | None,
        settings: OutputSettings,
        overwrite: bool,
        audio_from: str | None = None,
    ) -> None:
        foreign = (av.error.FFmpegError,)
        self._draft = Draft(path, overwrite=overwrite, suffixes=tuple(FORMATS), foreign=foreign)
        check_codec(settings.codec, self._draft.suffix, width, height)
        self._size = width, height
        self._rate = rate
        self._tick = Fraction(1, FINEST)
        if rate:
            self._tick = Fraction(1, rate.numerator * ceil(Fraction(FINEST, rate.numerator)))
        self._start = Fraction(0)
        self._last = -1
        self._first_dts: int | None = None
        self._period = round(1 / (rate or NOMINAL_RATE) / self._tick)
        self._done = False
        self._sound = Sound.of(audio_from) if audio_from else None
        self._container = self._new_container()
        with self._draft.or_else(self.abort):
            self._begin(settings)

    def write(self, pixels: Pixels, media_time: float) -> None:
        """Append one picture. Media times must increase; the array may be reused afterwards."""
        with self._draft.or_else(self.abort):
            frame = yuv420p(fit(pixels, *self._size))
            frame.pts = self._pts(media_time)
            frame.time_base = self._tick
            self._mux(self._video.encode(frame))

    def close(self) -> None:
        """Finish the file and put it in its place. `OutputError`, and no file, where there was no picture."""
        if self._done:
            return
        with self._draft.or_else(self.abort):
            if self._last < 0:
                raise OutputError(f"{self._draft.path} was not written: there were no pictures")
            packets = self._video.encode()
            if self._first_dts is None and len(packets) <= FEW:
                for packet in packets:
                    packet.dts = packet.pts
            self._mux(packets, closing=True)
            self._copy_sound(self._last + self._period)
            self._container.close()
            self._draft.sync()
        self._done = True
        self._release()
        self._draft.publish()

    def abort(self) -> None:
        """Give up and leave nothing behind."""
        if self._done:
            return
        self._done = True
        # Without its name, closing fails early instead of moving the index of a file that nobody wants.
        self._draft.discard()
        with suppress(av.error.FFmpegError):
            self._container.close()
        self._release()
        self._draft.discard()

    def _new_container(self) -> OutputContainer:
        suffix = self._draft.suffix
        # MP4 says how long a track lasts in units of the whole file, milliseconds unless told otherwise.
        exact = {"movflags": "+faststart", "movie_timescale": str(self._tick.denominator)}
        options = {} if suffix == ".mkv" else exact
        return av.open(f"file:{self._draft.part}", "w", format=FORMATS[suffix], container_options=options)

    def _begin(self, settings: OutputSettings) -> None:
        try:
            self._start_encoding(settings)
        except (ValueError, av.error.FFmpegError) as error:
            if self._sound is None or system_reason(error):
                raise
            kind, codec = self._draft.suffix, self._sound.codec
            log.warning("%s gets no sound: a %s file cannot hold %s", self._draft.path, kind, codec)
            self._release()
            self._container = self._new_container()
            self._start_encoding(settings)

    def _start_encoding(self, settings: OutputSettings) -> None:
        width, height = self._size
        self._video = add_video(
            self._container,
            settings,
            suffix=self._draft.suffix,
            width=width + width % 2,
            height=height + height % 2,
            rate=self._rate or NOMINAL_RATE,
            tick=self._tick,
        )
        if self._sound is not None:
            self._sound.join(self._container)
        self._container.start_encoding()

    def _pts(self, media_time: float) -> int:
        time = Fraction(media_time)
        if self._last < 0:
            self._start = time
            if self._sound is not None:
                self._sound.begin(time)
        pts = self._on_grid(time - self._start)
        if pts <= self._last:
            pts = self._last + 1
        if self._rate is None and self._last >= 0:
            self._period = pts - self._last
        self._last = pts
        return pts

    def _on_grid(self, time: Fraction) -> int:
        if self._rate:
            number = round(time * self._rate)
            if abs(time - number / self._rate) <= ROUNDING:
                return number * self._period
        return round(time / self._tick)

    def _mux(self, packets: list[Packet[VideoStream]], closing: bool = False) -> None:
        for packet in packets:
            dts = packet.dts or 0
            if self._first_dts is None:
                self._first_dts = dts
            packet.duration = self._period
            if closing and packet is packets[-1] and self._draft.suffix != ".mkv":
                # A track of MP4 lasts from its first to its last dts and on; at uneven times that is not how
                # long its pictures last, as dts run behind.
                packet.duration = self._last + self._period - (dts - self._first_dts)
            self._copy_sound(dts)
            self._container.mux_one(packet)

    def _copy_sound(self, until: int) -> None:
        """Sound goes in just ahead of the pictures it belongs to."""
        if self._sound is not None:
            self._sound.copy_until(self._container, until * self._tick)

    def _release(self) -> None:
        if self._sound is not None:
            self._sound.close()
            self._sound = None


def open_sink(
    path: Path,
    *,
    width: int,
    height: int,
    rate: Fraction | None,
    settings: OutputSettings,
    overwrite: bool,
    audio_from: str | None = None,
) -> Sink:
    """A video file at `path` (.mp4, .mov or .mkv), with the sound of the file `audio_from` where it has some.

    It is written beside `path` under a hidden name until it is closed. `OutputError` where it cannot be, or
    `path` exists and `overwrite` is not set.
    """
    return VideoSink(
        path,
        width=width,
        height=height,
        rate=rate,
        settings=settings,
        overwrite=overwrite,
        audio_from=audio_from,
    )
