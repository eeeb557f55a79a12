"""Tracking that outlives its database: a fresh start from the store mends what a pause may."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from yolotrack.errors import Fenced, StoreError, StoreGone
from yolotrack.roles.track import TrackRole

log = logging.getLogger("yolotrack.track")

RETRY_SECONDS = (1.0, 10.0)
"""First and longest pause before a database that refused is tried again."""
HEALTHY_SECONDS = 360.0
"""Who tracked for so long before the database refused was well, though there was nothing to commit. Longer than any
one refusal takes: half a minute where the database is locked, five where a statement hangs."""


def track_on(
    new_role: Callable[[], TrackRole], shard: str, stop: Event, *, bearing: type[StoreError], patience: float
) -> None:
    """Track a shard until `stop` is set, each time with a new role after an error that it bears.

    What the last role had in hand is delivered again, and the store knows what of it was committed: so nothing is
    lost or doubled, even where nobody can tell whether a commit came through. Raises the error that was borne for
    `patience` seconds without a commit between, and at once any other.
    """
    pause, failing_since = RETRY_SECONDS[0], 0.0
    while not stop.is_set():
        role, began = new_role(), time.monotonic()
        try:
            role.run(shard, stop)
        except StoreGone:
            raise  # to go on would be to acknowledge what no file holds
        except bearing as error:
            if isinstance(error, Fenced):
                log.warning("fenced shard=%s error=%s", shard, error)
                continue
            if role.committed or time.monotonic() - began > HEALTHY_SECONDS:
                pause, failing_since = RETRY_SECONDS[0], 0.0
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > patience:
                raise
            log.error("database refuses, trying again in %.0f s: %s", pause, error)
            stop.wait(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])
