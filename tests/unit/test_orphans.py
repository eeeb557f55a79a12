"""Runs whose publisher died: ended for it, without reading more of its log than may be new."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from threading import Event

import pytest

from tests.support.brokers import all_in
from tests.support.runs import found, make_run
from tests.support.tracking import SHARD, Tracking, send
from tests.support.waiting import Background, wait_until
from yolotrack.broker.base import RUNS
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import StoreAway
from yolotrack.model import Run, RunEnded, RunStarted, RunStatus
from yolotrack.roles import orphans
from yolotrack.roles.orphans import end_orphans
from yolotrack.store.base import Store

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

FRAMES = 5
COUNT = 8
"""Frames that the video log holds of it."""


class Unfed(MemoryBroker):
    """A broker whose publishers are all dead."""

    def __init__(self) -> None:
        super().__init__(capacity=256, retain=256)
        self.asked: list[tuple[str, str, datetime]] = []

    def is_fed(self, stream: str) -> bool:
        return False

    def finish_publishing(self, run_id: str, stream: str, since: datetime, *, stop: Event) -> int | None:
        self.asked.append((run_id, stream, since))
        return None if stop.is_set() else COUNT


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "LOOK_SECONDS", 0.01)


@pytest.fixture
def broker() -> Iterator[Unfed]:
    opened = Unfed()
    yield opened
    opened.close()


def abandoned(broker: Unfed, store: Store, frames: int) -> Run:
    """A run of which so many frames have their outcome, and no more come."""
    run = make_run()
    broker.publish(RUNS, RunStarted(run))
    tracking = Tracking(broker, store, seconds=0.0)
    send(broker, [RunStarted(run), *(found(run, index) for index in range(frames))])
    wait_until(lambda: [record.ledger.settled for record in store.runs()] == [frames], f"{frames} frames")
    tracking.end()
    return run


def looking(broker: Unfed, store: Store, stop: Event) -> Background:
    return Background(lambda: end_orphans(broker, store, lambda _: SHARD, patience=0.0, stop=stop))  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [0, FRAMES])
def test_a_dead_publishers_run_is_ended_and_its_log_read_from_its_newest_outcome(
    broker: Unfed, store: Store, frames: int
) -> None:
    run, stop = abandoned(broker, store, frames), Event()
    newest = found(run, frames - 1).captured_at if frames else run.started_at
    at_work = looking(broker, store, stop)
    wait_until(lambda: broker._queue(SHARD).ready, "the end of the run")
    stop.set()
    at_work.result()
    assert broker.asked == [(run.run_id, run.stream, newest)]
    assert all_in(broker, SHARD) == [RunEnded(run.run_id, run.stream, COUNT, RunStatus.INTERRUPTED)]


def test_a_run_that_was_not_counted_is_not_ended(broker: Unfed, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned(broker, store, FRAMES)
    stop, counting = Event(), Event()

    def until_stopped(run_id: str, stream: str, since: datetime, *, stop: Event) -> int | None:
        counting.set()
        stop.wait()
        return None

    monkeypatch.setattr(broker, "finish_publishing", until_stopped)
    at_work = looking(broker, store, stop)
    assert counting.wait(30)
    stop.set()
    at_work.result()
    assert all_in(broker, SHARD) == []


class AwayAtFirst:
    """A store that is away when it is asked for outcomes for the first time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refused = 0

    def outcomes(self, *arguments: object) -> object:
        if not self.refused:
            self.refused += 1
            raise StoreAway("locked")
        return self._store.outcomes(*arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_a_database_that_is_away_in_between_ends_no_worker(broker: Unfed, store: Store) -> None:
    abandoned(broker, store, FRAMES)
    stop, away = Event(), AwayAtFirst(store)
    at_work = looking(broker, away, stop)  # type: ignore[arg-type]
    wait_until(lambda: broker._queue(SHARD).ready, "the end of the run")
    stop.set()
    at_work.result()
    assert away.refused == 1
