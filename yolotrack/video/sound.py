"""The sound of a source, copied as it is into a video made of its pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard

log = logging.getLogger(__name__)


class Sound:
    """The first sound track of a file: its packets are copied, never encoded anew."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._from = stream
        self._to: AudioStream | None = None
        self._start = _picture_start(container)
        self._last_dts: int | None = None
        self._packets = self._demuxed()
        self._waiting: Packet[AudioStream] | None = None
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all

    @classmethod
    def of(cls, name: str) -> Sound | None:
        """The sound of the file `name`; None, and a word in the log, where there is none to be had."""
        if not Path(name).is_file():
            return None
        try:
            container = av.open(f"file:{name}", "r")
        except av.error.FFmpegError as error:
            log.warning("the video gets no sound: %s cannot be read (%s)", name, error.strerror)
            return None
        if container.streams.audio and container.streams.audio[0].codec_context is not None:
            return cls(container, container.streams.audio[0])
        container.close()
        return None

    @property
    def codec(self) -> str:
        """What it is coded in."""
        return self._from.codec_context.name

    def join(self, output: OutputContainer) -> None:
        """Add a track for it. `ValueError` where this kind of file cannot hold this kind of sound."""
        self._to = output.add_stream_from_template(self._from)

    def begin(self, media_time: Fraction) -> None:
        """The output begins with what is heard at that media time."""
        self._start += media_time
        if media_time > 0:
            with suppress(av.error.FFmpegError):  # no seeking: what comes before is read and dropped
                self._container.seek(int(self._start * av.time_base))

    def copy_until(self, output: OutputContainer, time: Fraction) -> None:
        """Write what is heard before `time`, seconds from where the output began."""
        packet = self._waiting or next(self._packets, None)
        while packet is not None and (packet.pts or 0) * packet.time_base - self._start < time:
            self._write(output, packet)
            packet = next(self._packets, None)
        self._waiting = packet

    def close(self) -> None:
        """Close the file; idempotent."""
        self._container.close()

    def _demuxed(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._container.demux(self._from):
                if packet.pts is not None and packet.dts is not None and not packet.is_corrupt:
                    yield packet
        except av.error.FFmpegError as error:
            log.warning("the rest of the video gets no sound: it is damaged (%s)", error.strerror)

    def _write(self, output: OutputContainer, packet: Packet[AudioStream]) -> None:
        shift = round(self._start / packet.time_base)
        pts, dts = (packet.pts or 0) - shift, (packet.dts or 0) - shift
        if pts < 0 or dts < 0 or (self._last_dts is not None and dts <= self._last_dts):
            return
        self._last_dts = dts
        packet.pts, packet.dts = pts, dts
        packet.stream = self._to  # type: ignore[assignment]
        try:
            output.mux_one(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            log.warning("the rest of the video gets no sound: it cannot be copied (%s)", error.strerror)
            self._packets = iter(())


def _picture_start(container: InputContainer) -> Fraction:
    """What the container calls the time of its first picture."""
    for video in container.streams.video:
        if video.start_time is not None and video.time_base is not None:
            return video.start_time * video.time_base
    return Fraction(0)
