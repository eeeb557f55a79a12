"""view: how a stream goes, now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Event

from yolotrack.broker.base import Broker, tracks_log, video_log
from yolotrack.errors import BadPicture
from yolotrack.model import Frame, FrameTracks, Outcome, Pixels, RunEnded, utc_now
from yolotrack.video.base import Draw

SECOND = 1.0
HELD_FRAMES = 256
"""Pictures that wait for their tracks; older ones are not shown."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of a stream."""

    stream: str
    fps: float
    objects: int
    """In the newest frame."""
    lost: int
    """Frames that failed or were dropped, in this second."""
    latencies: tuple[float, ...]
    """Seconds from capture to now of each frame, sorted; by the clocks of two machines, if they are two."""

    def percentile(self, percent: float) -> float | None:
        """Of the latencies, nearest rank; None where there are none."""
        if not self.latencies:
            return None
        return self.latencies[min(int(len(self.latencies) * percent / 100), len(self.latencies) - 1)]


def moments(broker: Broker, stream: str, *, once: bool, stop: Event) -> Iterator[Moment]:
    """One a second from now on, until `stop` is set or, with `once`, a run ends."""
    meter = _Meter(stream)
    with closing(broker.read(tracks_log(stream), "now")) as tracks:
        for message in tracks:
            if isinstance(message, FrameTracks):
                meter.count(message)
            ended = once and isinstance(message, RunEnded)
            if meter.due or ended:
                yield meter.take()
            if stop.is_set() or ended:
                return


class _Meter:
    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._since = time.monotonic()
        self._latencies: list[float] = []
        self._objects = 0
        self._lost = 0

    @property
    def due(self) -> bool:
        return time.monotonic() - self._since >= SECOND

    def count(self, tracks: FrameTracks) -> None:
        self._latencies.append((utc_now() - tracks.captured_at).total_seconds())
        self._objects = len(tracks.tracks)
        self._lost += tracks.outcome is not Outcome.TRACKED

    def take(self) -> Moment:
        now = time.monotonic()
        fps = len(self._latencies) / max(now - self._since, 1e-9)
        moment = Moment(self._stream, fps, self._objects, self._lost, tuple(sorted(self._latencies)))
        self._since, self._latencies, self._lost = now, [], 0
        return moment


def newest_pictures(
    broker: Broker,
    stream: str,
    decode: Callable[[bytes], Pixels],
    open_draw: Callable[[int, int], Draw],
    *,
    once: bool,
    stop: Event,
) -> Iterator[Pixels | None]:
    """Drawn pictures from now on, as soon as a frame has its outcome; None on idle ticks."""
    waiting: deque[Frame] = deque(maxlen=HELD_FRAMES)
    draw: Draw | None = None
    with (
        closing(broker.read(video_log(stream), "now")) as video,
        closing(broker.read(tracks_log(stream), "now")) as tracks,
    ):
        frames = iter(video)
        for message in tracks:
            if stop.is_set() or (once and isinstance(message, RunEnded)):
                return
            if not isinstance(message, FrameTracks):
                yield None
                continue
            pixels = _picture(frames, waiting, message, decode)
            if pixels is not None:
                draw = draw or open_draw(pixels.shape[1], pixels.shape[0])
                yield draw(pixels, message)


def _picture(
    frames: Iterator[object], waiting: deque[Frame], tracks: FrameTracks, decode: Callable[[bytes], Pixels]
) -> Pixels | None:
    """The picture of that frame; None when it is gone or was never readable."""
    while not (waiting and waiting[-1].run_id == tracks.run_id and waiting[-1].index >= tracks.index):
        entry = next(frames, None)
        if entry is None:
            break
        if isinstance(entry, Frame):
            waiting.append(entry)
    found = next((f for f in waiting if f.run_id == tracks.run_id and f.index == tracks.index), None)
    while found is not None and waiting[0] is not found:
        waiting.popleft()
    try:
        return decode(found.picture) if found is not None and isinstance(found.picture, bytes) else None
    except BadPicture:
        return None
