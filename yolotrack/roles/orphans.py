"""Ends runs whose publisher died without a word, so that they are `interrupted` and not `running` for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from threading import Event

from yolotrack.broker.base import RUNS, SharedBroker
from yolotrack.errors import StoreError, StoreGone
from yolotrack.model import RunEnded, RunRecord, RunStarted, RunStatus
from yolotrack.store.base import Store

log = logging.getLogger("yolotrack.orphans")

LOOK_SECONDS = 1.0


def end_orphans(
    broker: SharedBroker, store: Store, shard_of: Callable[[str], str], *, patience: float, stop: Event
) -> None:
    """Publish the end of every run that nobody has fed for `patience` seconds, until `stop` is set.

    Any number of workers may do so: the owner of the run takes the first end that it gets. Only runs in this
    broker's log of runs are looked at: others in the same database have publishers elsewhere, or are `run`s.
    """
    orphans = _Orphans(broker, store, shard_of, patience, stop)
    next_look = time.monotonic() + LOOK_SECONDS
    with closing(broker.read(RUNS, "start")) as entries:
        for entry in entries:
            if isinstance(entry, RunStarted):
                orphans.newest[entry.run.stream] = entry.run.run_id
                orphans.published.add(entry.run.run_id)
            if stop.is_set():
                return
            if entry is None and time.monotonic() >= next_look:
                orphans.look()
                next_look = time.monotonic() + LOOK_SECONDS


class _Orphans:
    def __init__(
        self, broker: SharedBroker, store: Store, shard_of: Callable[[str], str], patience: float, stop: Event
    ) -> None:
        self.newest: dict[str, str] = {}
        """The run of each stream that was published last, by the log's order and nobody's clock."""
        self.published: set[str] = set()
        self._broker = broker
        self._store = store
        self._shard_of = shard_of
        self._patience = patience
        self._stop = stop
        self._unfed_since: dict[str, float] = {}
        self._ended: set[str] = set()

    def look(self) -> None:
        try:
            self._look()
        except StoreGone:
            raise  # another database knows of other runs, which are not ours to end
        except StoreError as error:
            log.warning("cannot look for orphans now: %s", error)

    def _look(self) -> None:
        running = list(self._store.runs(RunStatus.RUNNING))
        unfed = {record.run.run_id: record for record in running if self._is_unfed(record)}
        now = time.monotonic()
        self._unfed_since = {run_id: self._unfed_since.get(run_id, now) for run_id in unfed}
        for run_id, since in self._unfed_since.items():
            if now - since >= self._patience and not self._stop.is_set():
                self._end(unfed[run_id])

    def _is_unfed(self, record: RunRecord) -> bool:
        """A stream has one publisher at a time, so only the newest of its runs may be fed."""
        run = record.run
        if run.run_id not in self.published or run.run_id in self._ended:
            return False
        return run.run_id != self.newest[run.stream] or not self._broker.is_fed(run.stream)

    def _end(self, record: RunRecord) -> None:
        run = record.run
        count = self._broker.finish_publishing(run.run_id, run.stream, self._newest(record), stop=self._stop)
        if count is None or not self._is_unfed(record):
            return  # stopped, or the publisher came back while its frames were counted
        log.warning("publisher gone stream=%s run=%s frames=%d", run.stream, run.run_id, count)
        end = RunEnded(run.run_id, run.stream, count, RunStatus.INTERRUPTED)
        self._broker.publish(RUNS, end)  # first, so that a publisher that comes back learns of it
        self._broker.publish(self._shard_of(run.stream), end)
        self._ended.add(run.run_id)

    def _newest(self, record: RunRecord) -> datetime:
        """When the last frame was captured that has its outcome: those that nobody knows of yet came after it."""
        settled = record.ledger.settled
        newest = next(self._store.outcomes(record.run.run_id, (max(settled - 1, 0), settled)), None)
        return record.run.started_at if newest is None else newest.captured_at
