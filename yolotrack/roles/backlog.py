"""How far behind a live run is, as its publisher reads from the tracks log: what waits hides in many places."""

from __future__ import annotations

import logging
import time
from collections import deque

from yolotrack.broker.base import Broker, LogReader, tracks_log
from yolotrack.crew import Crew, join
from yolotrack.errors import BrokerClosed, BrokerError
from yolotrack.model import FrameTracks, Run

log = logging.getLogger("yolotrack.publish")

BEHIND_SECONDS = 1.0
"""Oldest that a frame may be without an outcome before detection skips. A pipeline that keeps up takes a few frame
periods; a commit on a busy disk takes some tenths of a second, and is no reason to skip. Where `a` frames a second
come and `s` can be tracked, no outcome gets much older than a/s times this."""
NOTED_FRAMES = 4096
"""More than come in that time; beyond, the oldest are forgotten."""
CLOSE_SECONDS = 1.0


class Backlog:
    """The frames of a run that have no outcome yet. Used by one thread.

    The queue of frames tells only of those that no detector has taken. Where the tracks log cannot be read, or no
    longer, it is never `behind`.
    """

    def __init__(self, broker: Broker, run: Run) -> None:
        """Opens the log: before the run is told of, so that no outcome is missed."""
        self._run = run
        self._noted: deque[tuple[int, float]] = deque(maxlen=NOTED_FRAMES)
        """Index and moment of frames, the oldest first."""
        self._settled = 0
        """Frames below have their outcome, for a run is tracked in order. Written by the thread that reads."""
        self._crew = Crew()
        self._log: LogReader | None = None
        try:
            self._log = broker.read(tracks_log(run.stream), "now")
        except BrokerError as error:
            self._tell(error)
        else:
            self._crew.start(f"backlog {run.stream}", self._read)

    @property
    def behind(self) -> bool:
        """Whether a frame waits for its outcome for too long."""
        while self._noted and self._noted[0][0] < self._settled:
            self._noted.popleft()
        reading = any(thread.is_alive() for thread in self._crew.threads)
        return reading and bool(self._noted) and time.monotonic() - self._noted[0][1] > BEHIND_SECONDS

    def note(self, index: int) -> None:
        """A frame is published now, to be detected or not: it will have its outcome."""
        self._noted.append((index, time.monotonic()))

    def close(self) -> None:
        """Stop reading."""
        if self._log is not None:
            self._log.close()
        join(self._crew.threads, CLOSE_SECONDS)

    def _read(self) -> None:
        assert self._log is not None  # noqa: S101  # else this thread was not started
        try:
            for entry in self._log:
                if isinstance(entry, FrameTracks) and entry.run_id == self._run.run_id:
                    self._settled = max(self._settled, entry.index + 1)
        except BrokerError as error:
            self._tell(error)

    def _tell(self, error: BrokerError) -> None:
        if not isinstance(error, BrokerClosed):
            log.warning(
                "cannot read how far behind it is, and does not skip for it stream=%s error=%s", self._run.stream, error
            )
