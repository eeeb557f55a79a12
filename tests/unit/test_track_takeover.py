"""track when it fails: nothing is lost, nothing doubled, and a successor writes the same table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.brokers import left_in, number_in
from tests.support.runs import FailingBroker, WatchedStore, dump, found, make_run, messages_of
from tests.support.tracking import (
    COUNT,
    SHARD,
    OpenStore,
    Tracking,
    out_of_order,
    published_tracks,
    reference,
    send,
    standard,
    track_all,
    wait_for_end,
)
from tests.support.waiting import wait_until
from yolotrack.broker.base import tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import BrokerError, Fenced, StoreError
from yolotrack.model import Message, Outcome, Run, RunEnded, RunStarted, RunStatus
from yolotrack.store.base import Store

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]


def fail_at(number: int, error: Exception) -> Callable[[int], None]:
    def fail(current: int) -> None:
        if current == number:
            raise error

    return fail


def test_nothing_is_answered_or_published_that_is_not_committed(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    send(broker, messages_of(run, 30))
    tracking = Tracking(broker, WatchedStore(store, before=fail_at(1, StoreError("disk full"))))
    with pytest.raises(StoreError, match="disk full"):
        tracking.join()
    assert published_tracks(broker, run) == list(range(8))
    left = left_in(broker, SHARD)
    assert [number for number, _ in left] == [*range(8, 30), 30]
    assert [again for _, again in left][:8] == [True] * 8
    assert store.find_run(run.run_id).ledger.tracked == 8


def test_nothing_is_answered_that_is_not_published(store: Store) -> None:
    run = make_run()

    def before(topic: str, message: Message) -> None:
        if topic == tracks_log(run.stream) and number_in(message) == 11:
            raise BrokerError("no")

    broker = FailingBroker(before)
    send(broker, messages_of(run, 30))
    with pytest.raises(BrokerError):
        Tracking(broker, store).join()
    assert published_tracks(broker, run) == list(range(11))
    assert [number for number, _ in left_in(broker, SHARD)] == [*range(8, 30), 30]
    broker.close()


def assert_whole_log(broker: MemoryBroker, run: Run) -> None:
    """Readers that skip repeats see every frame in order, though the first owner died with some not published."""
    seen = published_tracks(broker, run)
    expected = 0
    for index in seen:
        assert index <= expected, f"frame {expected} is missing before {index}"
        expected = max(expected, index + 1)
    assert expected == COUNT


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_successor_goes_on_as_if_nothing_had_happened(
    broker: MemoryBroker, store_at: OpenStore, point: str, number: int
) -> None:
    """The first owner dies before or after a transaction, with its frames neither published nor answered."""
    run, store = make_run(), store_at("taken over")
    send(broker, out_of_order(standard(run), 20))
    dying = WatchedStore(store, **{point: fail_at(number, StoreError("killed"))})
    with pytest.raises(StoreError, match="killed"):
        Tracking(broker, dying).join()
    assert store.find_run(run.run_id).ledger.in_flight or number == 0
    second = Tracking(broker, store)
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    second.end()
    assert dump(store, run) == reference(store_at, run, standard(run))
    assert_whole_log(broker, run)
    assert left_in(broker, SHARD) == []


def test_dying_at_every_batch_changes_nothing(broker: MemoryBroker, store_at: OpenStore) -> None:
    run, store = make_run(), store_at("taken over")
    send(broker, standard(run))
    deaths = 0
    for _ in range(100):
        try:
            tracking = Tracking(broker, WatchedStore(store, after=fail_at(0, StoreError("killed"))))
            tracking.join()
        except StoreError:
            deaths += 1
        if store.find_run(run.run_id).ledger.in_flight == 0 and deaths >= COUNT // 8:
            break
    last = Tracking(broker, store)
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    last.end()
    assert deaths >= COUNT // 8
    assert dump(store, run) == reference(store_at, run, standard(run))
    assert_whole_log(broker, run)


def test_an_owner_that_was_replaced_writes_nothing_more(broker: MemoryBroker, store: Store) -> None:
    run = make_run()

    def replace(number: int) -> None:
        if number == 1:
            store.claim(run.run_id)

    send(broker, messages_of(run, 30))
    with pytest.raises(Fenced):
        Tracking(broker, WatchedStore(store, before=replace)).join()
    assert published_tracks(broker, run) == list(range(8))
    assert [number for number, _ in left_in(broker, SHARD)] == [*range(8, 30), 30]
    assert store.find_run(run.run_id).ledger.tracked == 8


def test_a_run_holds_one_model(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    digests = ("aaaa", "aaaa", "bbbb", "aaaa")
    frames = [found(run, index, digest=digest) for index, digest in enumerate(digests)]
    track_all(broker, store, [RunStarted(run), *frames, RunEnded(run.run_id, run.stream, 4, RunStatus.COMPLETE)])
    assert_refused(store, run, frame=2)
    assert published_tracks(broker, run) == [0, 1, 2, 3]


def test_a_run_holds_one_model_across_owners(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    first = Tracking(broker, store, frames=1)
    send(broker, [RunStarted(run), found(run, 0, digest="aaaa")])
    wait_until(lambda: published_tracks(broker, run) == [0], "the first frame")
    first.end()
    second = Tracking(broker, store, frames=1)
    send(broker, [found(run, 1, digest="bbbb"), RunEnded(run.run_id, run.stream, 2, RunStatus.COMPLETE)])
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    second.end()
    assert_refused(store, run, frame=1)


def assert_refused(store: Store, run: Run, frame: int) -> None:
    """That frame alone failed, for its model, and the reason names both."""
    (refused,) = (tracks for tracks in store.outcomes(run.run_id) if tracks.outcome is not Outcome.TRACKED)
    assert (refused.index, refused.outcome) == (frame, Outcome.FAILED)
    assert "bbbb" in refused.reason
    assert "began with model (aaaa)" in refused.reason
    assert dump(store, run)["model"][1] == "aaaa"
