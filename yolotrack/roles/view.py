"""view: how a stream goes, a line a second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Event

from yolotrack.broker.base import Broker, tracks_log
from yolotrack.model import FrameTracks, Message, Outcome, Run, RunEnded, utc_now

SECOND = 1.0


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


def moments(broker: Broker, stream: str, *, since: Run | None = None, once: bool, stop: Event) -> Iterator[Moment]:
    """One a second from now on, or `since` a run began, until `stop` is set or, with `once`, a run ends."""
    meter = _Meter(stream)
    with closing(broker.read(tracks_log(stream), since.started_at if since is not None else "now")) as tracks:
        for message in tracks if since is None else _from(since, tracks):
            if isinstance(message, FrameTracks):
                meter.count(message)
            ended = once and isinstance(message, RunEnded)
            if meter.due or ended:
                yield meter.take()
            if stop.is_set() or ended:
                return


def _from(run: Run, tracks: Iterable[Message | None]) -> Iterator[Message | None]:
    """Entries from the first of a run on; None for those before it."""
    begun = False
    for message in tracks:
        begun = begun or (isinstance(message, FrameTracks | RunEnded) and message.run_id == run.run_id)
        yield message if begun else None


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
