"""Tracking that outlives its database: a fresh start from the store mends what a pause may."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from yolotrack.errors import Fenced, StoreError
from yolotrack.roles.track import TrackRole

log = logging.getLogger("yolotrack.track")

RETRY_SECONDS = (1.0, 10.0)
"""First and longest pause before a database that refused is tried again."""


def track_on(
    new_role: Callable[[], TrackRole], shard: str, stop: Event, *, bearing: type[StoreError], patience: float
) -> None:
    """Track a shard until `stop` is set, each time with a new role after an error that it bears.

    What the last role had in hand is delivered again, and the store knows what of it was committed: so nothing is
    lost or doubled, even where nobody can tell whether a commit came through. Raises the error that was borne for
    `patience` seconds, and at once any other.
    """
    pause, failing_since = RETRY_SECONDS[0], 0.0
    while not stop.is_set():
        began = time.monotonic()
        try:
            new_role().run(shard, stop)
        except bearing as error:
            if isinstance(error, Fenced):
                log.warning("fenced shard=%s error=%s", shard, error)
                continue
            if time.monotonic() - began > 2 * RETRY_SECONDS[1]:
                pause, failing_since = RETRY_SECONDS[0], 0.0
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > patience:
                raise
            log.error("database refuses, trying again in %.0f s: %s", pause, error)
            stop.wait(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])
