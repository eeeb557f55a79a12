"""What is told of a broker that is away: once for all connections of a process, again only when the reason changes."""

from __future__ import annotations

import logging
import time
from threading import Lock

log = logging.getLogger("yolotrack.broker")

QUIET_SECONDS = 10.0
"""Connections of one process may notice the same trouble one after the other."""


class Outage:
    """Lines about the broker being away. Any thread may tell."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        """When each line was told; those that count still are in `_current`."""
        self._current: set[str] = set()
        self._lock = Lock()

    def tell(self, line: str) -> None:
        """Log a line, unless it was told since the broker was last there, or moments ago."""
        now = time.monotonic()
        with self._lock:
            if line in self._current or now - self._told.get(line, -QUIET_SECONDS) < QUIET_SECONDS:
                return
            self._current.add(line)
            self._told = {told: at for told, at in self._told.items() if now - at < QUIET_SECONDS} | {line: now}
        log.warning("%s", line)

    def over(self, host: str) -> None:
        """There is a connection again; said where anything was told."""
        with self._lock:
            if not self._current:
                return
            self._current.clear()
        log.warning("connected to the broker at %s", host)
