"""Databases that refuse for a while: a worker waits for one to start with, and tracking outlives one that goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from yolotrack.errors import Fenced, StoreAway, StoreError, StoreGone
from yolotrack.roles.track import TrackRole

log = logging.getLogger("yolotrack.track")

RETRY_SECONDS = (1.0, 10.0)
"""First and longest pause before a database that refused is tried again."""
HEALTHY_SECONDS = 360.0
"""Who tracked for so long before the database refused was well, though there was nothing to commit. Longer than any
one refusal takes: half a minute where the database is locked, five where a statement hangs."""

Opened = TypeVar("Opened")


class Patience:
    """With a database that refuses: how long to wait until it is tried again, and when to give up."""

    def __init__(self, seconds: float) -> None:
        """`seconds` is the longest time that it may refuse without a success between."""
        self._seconds = seconds
        self._since: float | None = None
        self._pause = RETRY_SECONDS[0]

    def renew(self) -> None:
        """It served."""
        self._since, self._pause = None, RETRY_SECONDS[0]

    def bear(self, error: StoreError) -> float:
        """Seconds to wait until it is tried again, as it says in the log. Raises `error` once that took too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left = self._seconds - (now - self._since)
        if left < 0:
            raise error
        log.error("database refuses, trying again for %.0f s: %s", left, error)
        pause, self._pause = self._pause, min(2 * self._pause, RETRY_SECONDS[1])
        return pause


def open_patiently(open_store: Callable[[], Opened], stop: Event, *, patience: float) -> Opened:
    """What `open_store` opens, as soon as it can. Raises its last `StoreAway` after `patience` seconds or once `stop`
    is set, and any other error at once."""
    waiting = Patience(patience)
    while True:
        try:
            return open_store()
        except StoreAway as error:
            if stop.wait(waiting.bear(error)):
                raise


def track_on(
    new_role: Callable[[], TrackRole], shard: str, stop: Event, *, bearing: type[StoreError], patience: float
) -> None:
    """Track a shard until `stop` is set, each time with a new role after an error that it bears.

    What the last role had in hand is delivered again, and the store knows what of it was committed: so nothing is
    lost or doubled, even where nobody can tell whether a commit came through. Raises the error that was borne for
    `patience` seconds without a commit between, and at once any other.
    """
    waiting = Patience(patience)
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
                waiting.renew()
            stop.wait(waiting.bear(error))
