"""Queues that do not answer while the broker does: which, since when, and how."""

from __future__ import annotations

import logging
from datetime import datetime
from threading import Lock

from yolotrack.broker.base import SickQueue
from yolotrack.model import utc_now

log = logging.getLogger("yolotrack.broker")


class SickQueues:
    """Kept by one process of what it notices itself. Any thread may note and ask."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], datetime] = {}
        """By queue and reason."""
        self._lock = Lock()

    def note(self, queue: str, reason: str) -> None:
        """It does not do its part; logged once until it is well."""
        with self._lock:
            if (queue, reason) in self._since:
                return
            self._since[queue, reason] = utc_now()
        log.warning("queue does not answer, trying again while the others go on queue=%s reason=%r", queue, reason)

    def well(self, queue: str, reason: str) -> None:
        """It does, again or still."""
        with self._lock:
            since = self._since.pop((queue, reason), None)
        if since is not None:
            log.warning("queue answers again queue=%s after=%.0fs", queue, (utc_now() - since).total_seconds())

    def forget(self, queue: str, reason: str) -> None:
        """Nobody here asks it for that any more."""
        with self._lock:
            self._since.pop((queue, reason), None)

    def listed(self) -> tuple[SickQueue, ...]:
        """Those that are sick now, the first to fall sick first."""
        with self._lock:
            return tuple(SickQueue(queue, since, reason) for (queue, reason), since in self._since.items())
