"""A short clip as a GIF: one palette made of all its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from yolotrack.draft import Draft
from yolotrack.errors import OutputError
from yolotrack.model import Pixels
from yolotrack.video.base import Sink
from yolotrack.video.fit import fit
from yolotrack.video.planes import bgra

SUFFIX = ".gif"
WIDTH = 480
"""Pixels, at most, where the user wants no size in particular."""
LONGEST_SECONDS = 30
PERIOD = Fraction(8, 100)
"""Seconds between two pictures, at least. A GIF counts hundredths, and browsers slow down those of 1 or 2."""
TICK = Fraction(1, 100)
PALETTE_SIZE = (16, 16)
SLACK = 0.001
"""Seconds that a picture may be early: times are rounded somewhere."""


class GifSink:
    """Pictures at most every 0.08 s, at most 30 s long, as long as a video of the same pictures.

    A palette needs every picture before the first can be written, so they wait in a file without a name, and
    memory stays flat. Pictures of another size are letterboxed.
    """

    def __init__(self, path: Path, *, width: int, height: int, overwrite: bool) -> None:
        self._draft = Draft(path, overwrite=overwrite, suffixes=(SUFFIX,), foreign=(av.error.FFmpegError,))
        self._size = width, height
        self._ticks: list[int] = []
        self._start = self._due = self._last = 0.0
        self._period = float(PERIOD)
        self._done = False
        with self._draft.translated():
            self._spool = TemporaryFile(dir=path.parent)  # noqa: SIM115  # closed by `close` and `abort`

    def write(self, pixels: Pixels, media_time: float) -> None:
        """Append one picture, or pass over it. Media times must increase. `OutputError` where the clip is too long."""
        if not self._ticks:
            self._start = self._due = media_time
        else:
            self._period = media_time - self._last
        self._last = media_time
        if media_time - self._start >= LONGEST_SECONDS:
            self.abort()
            raise OutputError(
                f"cannot write {self._draft.path}: a GIF is {LONGEST_SECONDS} s long at most; "
                "choose a part with --from and --to, or write an .mp4"
            )
        if media_time < self._due - SLACK:
            return
        self._due = max(self._due + float(PERIOD), media_time)
        with self._draft.or_else(self.abort):
            self._ticks.append(self._tick(media_time))
            self._spool.write(fit(pixels, *self._size).tobytes())

    def close(self) -> None:
        """Finish the file and put it in its place. `OutputError`, and no file, where there was no picture."""
        if self._done:
            return
        with self._draft.or_else(self.abort):
            if not self._ticks:
                raise OutputError(f"{self._draft.path} was not written: there were no pictures")
            palette = self._palette()
            end = self._tick(self._last + self._period)
            options = {"final_delay": str(max(1, end - self._ticks[-1]))}
            with av.open(f"file:{self._draft.part}", "w", format="gif", container_options=options) as container:
                self._encode(container, palette)
            self._draft.sync()
        self._done = True
        self._spool.close()
        self._draft.publish()

    def abort(self) -> None:
        """Give up and leave nothing behind."""
        if self._done:
            return
        self._done = True
        self._spool.close()
        self._draft.discard()

    def _tick(self, media_time: float) -> int:
        return round((media_time - self._start) / TICK)

    def _palette(self) -> VideoFrame:
        chain = _Chain("palettegen", "stats_mode=full", [self._size])
        for frame in self._frames():
            chain.push(0, frame)
        return next(chain.last())

    def _encode(self, container: OutputContainer, palette: VideoFrame) -> None:
        stream = container.add_stream("gif", rate=1 / PERIOD)
        stream.width, stream.height = self._size
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = TICK
        chain = _Chain("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle", [self._size, PALETTE_SIZE])
        chain.push(1, palette, last=True)
        for frame in self._frames():
            chain.push(0, frame)
            for shown in chain.ready():
                container.mux(stream.encode(shown))
        for shown in chain.last():
            container.mux(stream.encode(shown))
        container.mux(stream.encode())

    def _frames(self) -> Iterator[VideoFrame]:
        """The pictures that wait, in order."""
        width, height = self._size
        self._spool.seek(0)
        for tick in self._ticks:
            pixels = np.frombuffer(self._spool.read(3 * width * height), np.uint8).reshape(height, width, 3)
            frame = bgra(pixels)
            frame.pts, frame.time_base = tick, TICK
            yield frame


class _Chain:
    """One of FFmpeg's filters between buffers, BGRA in and out."""

    def __init__(self, name: str, options: str, sizes: list[tuple[int, int]]) -> None:
        """`sizes` of what comes in, an input each."""
        self._graph = Graph()
        middle, self._out = self._graph.add(name, options), self._graph.add("buffersink")
        self._inputs = [
            self._graph.add_buffer(width=width, height=height, format=VideoFormat("bgra"), time_base=TICK)
            for width, height in sizes
        ]
        for number, source in enumerate(self._inputs):
            source.link_to(middle, 0, number)
        middle.link_to(self._out)
        self._graph.configure()

    def push(self, number: int, frame: VideoFrame, *, last: bool = False) -> None:
        """Give the next one to an input."""
        self._inputs[number].push(frame)
        if last:
            self._inputs[number].push(None)

    def ready(self) -> Iterator[VideoFrame]:
        """What is finished by now."""
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield self._out.pull()  # type: ignore[misc]

    def last(self) -> Iterator[VideoFrame]:
        """No more come to the first input: the rest."""
        self._inputs[0].push(None)
        yield from self.ready()


def open_gif(path: Path, *, width: int, height: int, overwrite: bool) -> Sink:
    """A GIF at `path`. Errors are those of `open_sink`."""
    return GifSink(path, width=width, height=height, overwrite=overwrite)
