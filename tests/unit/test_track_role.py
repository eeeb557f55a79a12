"""track over the embedded broker, with the real store and trackers: the same table, whatever happens on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

import pytest

from tests.support.brokers import left_in, note, number_in, read_until
from tests.support.runs import WatchedStore, dump, found, lost, make_run, messages_of
from tests.support.tracking import (
    COUNT,
    GONE,
    SHARD,
    OpenStore,
    Tracking,
    make_role,
    out_of_order,
    published_tracks,
    reference,
    send,
    standard,
    track_all,
    wait_for_end,
)
from tests.support.waiting import Background, wait_until
from yolotrack.broker import memory
from yolotrack.broker.base import tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.model import FrameTracks, Ledger, Message, Mode, Outcome, RunEnded, RunStarted, RunStatus
from yolotrack.roles import track
from yolotrack.store.base import Store

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

# One run


def test_a_run_becomes_rows_tracks_and_an_end(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    track_all(broker, store, standard(run))
    table = dump(store, run)
    assert table["ledger"] == Ledger(published=COUNT, tracked=COUNT - len(GONE), failed=len(GONE), dropped=0)
    assert table["status"] is RunStatus.COMPLETE
    assert table["model"] == ("model", "d1g357", "bytetrack")
    assert [row[0] for row in table["lost"]] == list(GONE)
    assert [row[2] for row in table["lost"]] == [f"reason {index}" for index in GONE]
    ids = [row[0] for row in table["tracks"]]
    assert ids == list(range(1, len(ids) + 1)), "dense from 1"
    assert len(ids) >= 3
    assert not {row[0] for row in table["observations"]} & set(GONE)
    assert published_tracks(broker, run) == list(range(COUNT)), "every frame, once, in order"
    assert left_in(broker, SHARD) == [], "and every message is answered"


@pytest.mark.parametrize(("mode", "sizes"), [(Mode.LIVE, [1] * 20), (Mode.ARCHIVE, [10, 10])])
def test_a_live_run_is_committed_at_once_and_an_archive_in_batches(
    broker: MemoryBroker, store: Store, monkeypatch: pytest.MonkeyPatch, mode: Mode, sizes: list[int]
) -> None:
    monkeypatch.setattr(memory, "IDLE_SECONDS", 60.0)
    run, watched = replace(make_run(), mode=mode), WatchedStore(store)
    start, *frames, end = messages_of(run, 20)
    send(broker, [start])
    tracking = Tracking(broker, watched, frames=10)
    log = broker.read(tracks_log(run.stream), "start")
    for count, frame in enumerate(frames, 1):
        send(broker, [frame])
        wait_until(lambda: not broker._queues[SHARD].ready, "the role to take it")
        if mode is Mode.LIVE:
            wait_until(lambda: len(watched.batches) == count, "its commit")  # noqa: B023  # called here
    send(broker, [end])
    wait_for_end(log, run)
    broker.close()
    tracking.join()
    assert [len(batch.frames) for batch in watched.batches] == sizes


def test_a_live_run_is_committed_in_batches_while_more_waits(broker: MemoryBroker, store: Store) -> None:
    run, watched = replace(make_run(), mode=Mode.LIVE), WatchedStore(store)
    track_all(broker, watched, messages_of(run, 40), frames=10)
    assert [len(batch.frames) for batch in watched.batches] == [10] * 4


def test_dropped_frames_are_told_from_failed_ones(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    frames = [lost(run, 0, Outcome.DROPPED), found(run, 1), lost(run, 2), lost(run, 3, Outcome.DROPPED)]
    track_all(broker, store, [RunStarted(run), *frames, RunEnded(run.run_id, run.stream, 4, RunStatus.INTERRUPTED)])
    table = dump(store, run)
    assert table["ledger"] == Ledger(published=4, tracked=1, failed=1, dropped=2)
    assert table["status"] is RunStatus.INTERRUPTED


def test_a_run_without_frames_ends(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    track_all(broker, store, messages_of(run, 0))
    assert dump(store, run)["ledger"] == Ledger(0, 0, 0, 0)
    assert store.find_run(run.run_id).status is RunStatus.COMPLETE


# Order, repeats, company


def three_times(messages: Sequence[Message]) -> list[Message]:
    return out_of_order([message for message in messages for _ in range(3)], 30)


def end_first(messages: Sequence[Message]) -> list[Message]:
    started, *frames, ended = messages
    return [started, ended, *frames]


def first_frame_last(messages: Sequence[Message]) -> list[Message]:
    started, first, *rest = messages
    return [started, *rest, first]


@pytest.mark.parametrize(
    "disturb",
    [
        lambda messages: out_of_order(messages, 50),
        three_times,
        end_first,
        first_frame_last,
        lambda messages: [*messages, *messages[1:]],
    ],
    ids=["shuffled by 50 places", "three times each", "the end first", "the first last", "all again after the end"],
)
def test_order_and_repeats_change_nothing(broker: MemoryBroker, store_at: OpenStore, disturb: Callable) -> None:
    run, store = make_run(), store_at("disturbed")
    messages = disturb(standard(run))
    track_all(broker, store, messages)
    assert dump(store, run) == reference(store_at, run, standard(run))
    assert published_tracks(broker, run) == list(range(COUNT))


def test_repeats_of_a_run_that_ended_are_answered(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    track_all(broker, store, standard(run))
    before = dump(store, run)
    again = standard(run)
    random.Random(3).shuffle(again)
    send(broker, [message for message in again if not isinstance(message, RunEnded)])
    other = make_run("other")
    track_all(broker, store, messages_of(other, 3))
    assert left_in(broker, SHARD) == []
    assert dump(store, run) == before


def test_repeats_are_answered_while_nothing_new_comes(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    tracking = Tracking(broker, store)
    send(broker, [RunStarted(run), *(found(run, index) for index in range(8))])
    wait_until(lambda: published_tracks(broker, run) == list(range(8)), "the first frames to be tracked")
    send(broker, [found(run, index) for index in range(8)])
    other = make_run("other")
    send(broker, messages_of(other, 1))
    wait_for_end(broker.read(tracks_log("other"), "start"), other)
    tracking.end()
    assert left_in(broker, SHARD) == []


def test_a_gap_may_be_long(broker: MemoryBroker, store: Store) -> None:
    """A slow detector in live mode: the drops behind one frame arrive long before it."""
    run, gap = make_run(), 700
    dropped = [lost(run, index, Outcome.DROPPED) for index in range(1, gap)]
    ended = RunEnded(run.run_id, run.stream, gap, RunStatus.COMPLETE)
    tracking = Tracking(broker, store)
    sending = Background(lambda: send(broker, [RunStarted(run), *dropped, found(run, 0), ended]))
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    sending.result()
    tracking.end()
    assert dump(store, run)["ledger"] == Ledger(gap, 1, 0, gap - 1)


def test_runs_on_one_shard_have_ids_of_their_own(broker: MemoryBroker, store_at: OpenStore) -> None:
    store, runs = store_at("both"), (make_run("left"), make_run("right"))
    left, right = (standard(run) for run in runs)
    track_all(broker, store, [message for pair in zip(left, right, strict=True) for message in pair])
    for run, messages in zip(runs, (left, right), strict=True):
        assert dump(store, run) == reference(store_at, run, messages)
        assert published_tracks(broker, run) == list(range(COUNT))


def test_successive_runs_of_a_stream_begin_anew(broker: MemoryBroker, store_at: OpenStore) -> None:
    store, runs = store_at("both"), (make_run(), make_run())
    track_all(broker, store, [message for run in runs for message in standard(run)])
    for run in runs:
        assert dump(store, run) == reference(store_at, run, standard(run))


# Batches


def test_a_batch_holds_as_many_frames_as_configured(broker: MemoryBroker, store: Store) -> None:
    watched = WatchedStore(store)
    track_all(broker, watched, messages_of(make_run(), 20), frames=8)
    assert [len(batch.frames) for batch in watched.batches] == [8, 8, 4]
    assert [batch.checkpoint.next_index for batch in watched.batches] == [8, 16, 20]


def test_a_batch_stays_small_when_a_gap_closes(broker: MemoryBroker, store: Store) -> None:
    watched = WatchedStore(store)
    track_all(broker, watched, first_frame_last(messages_of(make_run(), 20)), frames=8)
    assert [len(batch.frames) for batch in watched.batches] == [8, 8, 4]


def test_a_batch_waits_no_longer_than_configured(broker: MemoryBroker, store: Store) -> None:
    watched = WatchedStore(store)
    track_all(broker, watched, messages_of(make_run(), 10), frames=1000, seconds=1e-9)
    assert [len(batch.frames) for batch in watched.batches] == [1] * 10


def test_what_is_tracked_is_committed_when_nothing_comes(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    tracking = Tracking(broker, store, frames=1000)
    send(broker, [RunStarted(run), *(found(run, index) for index in range(3))])
    wait_until(lambda: published_tracks(broker, run) == [0, 1, 2], "an idle commit")
    assert store.find_run(run.run_id).ledger == Ledger(3, 3, 0, 0)
    tracking.end()


def test_frames_that_wait_for_others_count_as_published(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    tracking = Tracking(broker, store)
    send(broker, [RunStarted(run), *(found(run, index) for index in (0, 1, 5, 6))])
    wait_until(lambda: published_tracks(broker, run) == [0, 1], "an idle commit")
    ledger = store.find_run(run.run_id).ledger
    assert ledger == Ledger(7, 2, 0, 0)
    assert ledger.in_flight == 5
    tracking.end()
    assert left_in(broker, SHARD) == [(5, True), (6, True)]


def test_stopping_commits_what_is_tracked(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    send(broker, [RunStarted(run), *(found(run, index) for index in range(5))])
    stop = Event()
    stop.set()
    make_role(broker, store).run(SHARD, stop)
    ledger = store.find_run(run.run_id).ledger
    left = left_in(broker, SHARD)
    assert ledger.tracked + len(left) == 5, "a frame is tracked, or comes again"


def test_messages_that_nobody_can_use_are_set_aside(
    broker: MemoryBroker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "STRAY_SECONDS", 0.1)
    unknown, run = make_run("unknown"), make_run()
    log_entry = FrameTracks("r", "s", 5, 0.0, run.started_at, Outcome.FAILED, found(run, 0).detections[:0])
    send(broker, [found(unknown, 3), note("cam", 4), log_entry])
    track_all(broker, store, messages_of(run, 3))
    assert sorted(number_in(message) for message, _ in broker.dead_letters) == [3, 4, 5]
    assert left_in(broker, SHARD) == []
    assert store.find_run(run.run_id).status is RunStatus.COMPLETE


def test_reading_from_now_gets_frames_as_they_are_tracked(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    log = broker.read(tracks_log(run.stream), 0)
    tracking = Tracking(broker, store)
    send(broker, messages_of(run, 20))
    assert read_until(log, lambda number: number == 19) == list(range(20))
    tracking.end()


def test_frames_that_come_before_their_run_wait_for_it(broker: MemoryBroker, store_at: OpenStore) -> None:
    """What a crashed owner leaves comes again in any order."""
    run = make_run()
    messages = standard(run)
    store = store_at("mixed")
    track_all(broker, store, [*messages[20:], *messages[:20]])
    assert dump(store, run) == reference(store_at, run, messages)
    assert not broker.dead_letters


def test_many_runs_that_wait_leave_room_for_what_they_wait_for(broker: MemoryBroker, store_at: OpenStore) -> None:
    """Together they hold more than the prefetch; none alone holds much."""
    runs = [make_run(f"cam-{number}") for number in range(9)]
    orders = [standard(run) for run in runs]
    late = [order.pop(1) for order in orders]
    store = store_at("many")
    together = [message for order in orders for message in order]
    assert len(together) > track.PREFETCH
    track_all(broker, store, [*together, *late])
    for run in runs:
        assert dump(store, run) == reference(store_at, run, standard(run))
