"""Tells a publisher that nobody is at work on what it publishes: once, until somebody was."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from yolotrack.broker.base import FRAMES, Attendance, SharedBroker
from yolotrack.crew import Crew, join
from yolotrack.errors import BrokerError

log = logging.getLogger("yolotrack.publish")

PATIENCE_SECONDS = 5.0
"""Workers that start, or come back after their broker did, take some seconds."""
LOOK_SECONDS = 1.0
CLOSE_SECONDS = 6.0


class Lookout:
    """Looks every second, in a thread of its own, whether somebody takes frames, and detections of a shard."""

    def __init__(self, broker: SharedBroker, shard: str, tell: Callable[[str], None] = log.warning) -> None:
        self._broker = broker
        self._shard = shard
        self._frames = _Queue("{} frames wait, no worker takes any; start `yolotrack work`", tell)
        self._detections = _Queue("{} messages wait, no worker tracks; start `yolotrack work --role track`", tell)
        self._stop = Event()
        self._crew = Crew()
        self._crew.start("lookout", self._run)

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        join(self._crew.threads, CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._look()
            except BrokerError:  # whoever publishes hears of that too
                return

    def _look(self) -> None:
        frames = self._broker.attendance(FRAMES)
        self._frames.see(frames, time.monotonic())
        if frames is not None and frames.takers:  # else one line is enough
            self._detections.see(self._broker.attendance(self._shard), time.monotonic())


class _Queue:
    """What was seen of one queue."""

    def __init__(self, line: str, tell: Callable[[str], None]) -> None:
        self._line = line
        self._tell = tell
        self._alone_since: float | None = None
        self._told = False

    def see(self, attendance: Attendance | None, now: float) -> None:
        if attendance is None or (attendance.takers == 0 and attendance.waiting == 0):
            self._alone_since = None
        elif attendance.takers:
            self._alone_since, self._told = None, False
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= PATIENCE_SECONDS and not self._told:
            self._told = True
            self._tell(self._line.format(attendance.waiting))
