"""Ends runs whose publisher died without a word, so that they are `interrupted` and not `running` for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event

from yolotrack.broker.base import SharedBroker
from yolotrack.errors import StoreError
from yolotrack.model import RunEnded, RunRecord, RunStatus
from yolotrack.store.base import Store

log = logging.getLogger("yolotrack.orphans")

LOOK_SECONDS = 1.0


def end_orphans(
    broker: SharedBroker, store: Store, shard_of: Callable[[str], str], *, patience: float, stop: Event
) -> None:
    """Publish the end of every run that nobody has fed for `patience` seconds, until `stop` is set.

    Any number of workers may do so: the owner of the run takes the first end that it gets.
    """
    unfed_since: dict[str, float] = {}
    while not stop.wait(LOOK_SECONDS):
        try:
            running = [record for record in store.runs() if record.status is RunStatus.RUNNING]
        except StoreError as error:
            log.warning("cannot look for orphans now: %s", error)
            continue
        unfed = {record.run.run_id: record for record in running if not _is_fed(broker, record, running)}
        unfed_since = {run_id: unfed_since.get(run_id, time.monotonic()) for run_id in unfed}
        for run_id, since in list(unfed_since.items()):
            if time.monotonic() - since >= patience:
                _end(broker, shard_of, unfed[run_id])
                del unfed_since[run_id]


def _is_fed(broker: SharedBroker, record: RunRecord, running: Iterable[RunRecord]) -> bool:
    """A stream has one publisher at a time, so the newest of its runs is the one that may be fed."""
    run = record.run
    newest = max((r.run for r in running if r.run.stream == run.stream), key=lambda r: (r.started_at, r.run_id))
    return run.run_id == newest.run_id and broker.is_fed(run.stream)


def _end(broker: SharedBroker, shard_of: Callable[[str], str], record: RunRecord) -> None:
    run = record.run
    count = broker.frames_published(run.run_id, run.stream, run.started_at)
    log.warning("publisher gone stream=%s run=%s frames=%d", run.stream, run.run_id, count)
    broker.publish(shard_of(run.stream), RunEnded(run.run_id, run.stream, count, RunStatus.INTERRUPTED))
