"""show: what a window shows, a picture at a time: a stream as it is now, or a run from its beginning."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from yolotrack.broker.base import Broker, tracks_log, video_log
from yolotrack.crew import Crew
from yolotrack.errors import LogCut
from yolotrack.model import Run
from yolotrack.roles.compile import merge
from yolotrack.roles.pairs import Shot
from yolotrack.roles.watch import Drawn, Rendition, Watch

TICK_SECONDS = 0.1
"""Longest that `Feed.look` waits: whoever shows pictures looks at the keyboard in between."""
AHEAD = 16
"""Pictures that a replay reads before their time."""
BEHIND_SECONDS = 1.0
"""A replay that is late skips pictures; later than this, it stood still, and goes on from there."""


@dataclass(frozen=True, slots=True)
class Going:
    """How it goes with what is shown."""

    fps: float
    """Frames a second that come in."""
    quiet_seconds: float
    """Since the last one; infinite before the first."""
    ended: bool
    """Whether the run that was heard of last goes on no more."""


class Feed(Protocol):
    """Frames to show, for one thread. Errors of the broker are raised by `look` and `rest`."""

    replayed: bool
    """Whether it shows what was, rather than what is."""

    def look(self) -> Shot | None:
        """The frame that is to be seen now, unless it was given already; waits for one, but no longer than a tick."""

    def rest(self) -> None:
        """Let a tick pass without looking. What is live goes on meanwhile, and a replay stands still."""

    def going(self) -> Going:
        """How it goes."""

    def close(self) -> None:
        """Stop reading; idempotent."""


class Live:
    """The newest frame of a stream: however slow it is shown, it is never late, there are only fewer."""

    replayed = False

    def __init__(self, broker: Broker, stream: str) -> None:
        self._watch = Watch(broker, stream, lambda _: lambda jpeg, _: jpeg)
        self._drawn: queue.SimpleQueue[Drawn] = queue.SimpleQueue()
        self._asked = False
        self._last: tuple[str, int] | None = None

    def look(self) -> Shot | None:
        self._check()
        if not self._asked:
            self._watch.ask(self, Rendition(0), self._last, self._drawn.put)
            self._asked = True
        try:
            drawn = self._drawn.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None
        self._asked = False
        self._last = drawn.key
        return Shot(drawn.jpeg, drawn.tracks) if drawn.jpeg is not None else None

    def rest(self) -> None:
        self._check()
        self._watch.forget(self)
        self._asked = False
        time.sleep(TICK_SECONDS)

    def going(self) -> Going:
        sight = self._watch.sight()
        ended = sight.ended is not None and sight.run_id in ("", sight.ended.run_id)
        return Going(sight.moment.fps, sight.quiet_seconds, ended)

    def close(self) -> None:
        self._watch.close()

    def _check(self) -> None:
        if self._watch.error is not None:
            raise self._watch.error


class Replay:
    """A run from its first frame on, at its own pace. One that is shown slowly skips frames."""

    replayed = True

    def __init__(self, broker: Broker, run: Run) -> None:
        """The logs must hold all of the run: else `look` raises `LogCut`."""
        self._broker = broker
        self._run = run
        self._ahead: queue.Queue[Shot] = queue.Queue(AHEAD)
        self._next: Shot | None = None
        """Taken before its time."""
        self._offset = float("-inf")
        """From media time to the clock that says when a frame is due."""
        self._shown_at = float("-inf")
        self._stop = Event()
        self._crew = Crew()
        self._reading = self._crew.start(f"replay {run.stream}", self._read)

    def look(self) -> Shot | None:
        deadline = time.monotonic() + TICK_SECONDS
        shot = self._take(deadline)
        if shot is None:
            if self._crew.error is not None:
                raise self._crew.error
            self._stop.wait(max(deadline - time.monotonic(), 0.0))
            return None
        due = self._due(shot)
        self._stop.wait(max(min(due, deadline) - time.monotonic(), 0.0))
        if due > deadline:
            self._next = shot
            return None
        self._shown_at = time.monotonic()
        return self._newest_due(shot)

    def rest(self) -> None:
        self._stop.wait(TICK_SECONDS)

    def going(self) -> Going:
        ended = not self._reading.is_alive() and self._ahead.empty() and self._next is None
        return Going(float(self._run.rate or 0), time.monotonic() - self._shown_at, ended)

    def close(self) -> None:
        self._stop.set()

    def _take(self, deadline: float) -> Shot | None:
        """The next frame, as soon as it was read; None when it was not in time."""
        if self._next is not None:
            shot, self._next = self._next, None
            return shot
        with suppress(queue.Empty):
            return self._ahead.get(timeout=max(deadline - time.monotonic(), 0.0))
        return None

    def _due(self, shot: Shot) -> float:
        now, media_time = time.monotonic(), shot.tracks.media_time
        if now - (media_time + self._offset) > BEHIND_SECONDS:
            self._offset = now - media_time
        return media_time + self._offset

    def _newest_due(self, shot: Shot) -> Shot:
        now = time.monotonic()
        while (later := self._take(now)) is not None:
            if self._due(later) > now:
                self._next = later
                break
            shot = later
        return shot

    def _read(self) -> None:
        run, since = self._run, self._run.started_at
        video, tracks = (
            self._broker.read(video_log(run.stream), since),
            self._broker.read(tracks_log(run.stream), since),
        )
        try:
            for frame, outcome in merge(video, tracks, run.run_id, stop=self._stop):
                if frame is not None and isinstance(frame.picture, bytes):
                    self._put(Shot(frame.picture, outcome))
        except LogCut:
            raise LogCut(
                f"the logs of {run.stream} no longer hold the beginning of its newest run: leave out `--from start`"
            ) from None

    def _put(self, shot: Shot) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._ahead.put(shot, timeout=TICK_SECONDS)
                return
