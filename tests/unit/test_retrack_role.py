"""retrack over the real store and trackers: what a run with that tracker would have given, row for row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.support.detections import TRACKERS, crossing
from tests.support.runs import WatchedStore, dump, found, lost, make_run, messages_of
from tests.support.tracking import (
    OpenStore,
    Tracking,
    opener,
    out_of_order,
    published_tracks,
    reference,
    send,
    track_all,
    wait_for_end,
)
from tests.support.waiting import wait_until
from yolotrack.broker.base import tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import NotFound, StoreError, TrackerError
from yolotrack.model import (
    FrameDetections,
    FrameLost,
    FrameTracks,
    Ledger,
    Message,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
    utc_now,
)
from yolotrack.roles import retrack as retracking
from yolotrack.roles.retrack import retrack
from yolotrack.store.base import Store
from yolotrack.wire import decode_kept, encode

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

COUNT = 60
FAILED, DROPPED = (0, 17, 59), (18, 40)
MOTION = (1.0, 0.0, 40.0, 0.0, 1.0, -30.0)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retracking, "COMMIT_FRAMES", 7)


def crowded(run: Run) -> list[Message]:
    """Walkers that pass a pillar, weak boxes among them; a few frames fail or are dropped; the camera moves."""
    seen = crossing(COUNT)
    frames: list[Message] = []
    for index in range(COUNT):
        if index in FAILED + DROPPED:
            frames.append(lost(run, index, Outcome.FAILED if index in FAILED else Outcome.DROPPED))
        else:
            frames.append(replace(found(run, index), detections=seen[index], motion=MOTION if index % 3 else None))
    return [RunStarted(run), *frames, RunEnded(run.run_id, run.stream, COUNT, RunStatus.COMPLETE)]


def tracked(broker: MemoryBroker, store: Any, messages: list[Message], **options: Any) -> Run:
    """A run in the store, its detections kept."""
    track_all(broker, store, messages, **{"keep": True, **options})
    (run,) = [message.run for message in messages if isinstance(message, RunStarted)]
    return run


def again(store: Any, run: Run, tracker: str = "ocsort", **options: Any) -> Run:
    """Track a run again; what came of it."""
    run_id = retrack(store, store.find_run(run.run_id), opener(tracker), **{"stop": Event(), **options})
    return store.find_run(run_id).run


def only_new(store: Store, run: Run) -> Run:
    """The one run in the store besides that one."""
    (other,) = [record.run for record in store.runs() if record.run.run_id != run.run_id]
    return other


def raise_at(number: int, error: BaseException) -> Callable[[int], None]:
    def fail(current: int) -> None:
        if current == number:
            raise error

    return fail


def assert_cut(store: Store, run: Run, whole: dict[str, Any], frames: int) -> None:
    """It ended early: interrupted, balanced, and the beginning of what it would have been."""
    part = dump(store, run)
    assert part["status"] is RunStatus.INTERRUPTED
    assert (part["ledger"].published, part["ledger"].in_flight) == (frames, 0)
    assert store.find_run(run.run_id).ended_at is not None
    assert part["observations"] == [row for row in whole["observations"] if row[0] < frames]
    assert part["lost"] == [row for row in whole["lost"] if row[0] < frames]


# What is kept


def test_nothing_is_kept_unless_it_is_asked_for(broker: MemoryBroker, store: Store) -> None:
    run = tracked(broker, store, messages_of(make_run(), 20), keep=False)
    assert list(store.detections(run.run_id)) == []


def test_every_frame_that_was_detected_is_kept_with_all_its_boxes(broker: MemoryBroker, store: Store) -> None:
    messages = crowded(make_run())
    run = tracked(broker, store, messages)
    assert_all_kept(store, run, messages)


def assert_all_kept(store: Store, run: Run, messages: list[Message]) -> None:
    expected = {message.index: message for message in messages if isinstance(message, FrameDetections)}
    kept = dict(store.detections(run.run_id))
    assert list(kept) == sorted(expected)
    for index, body in kept.items():
        detections, motion = decode_kept(body)
        assert detections.xyxy.tolist() == expected[index].detections.xyxy.tolist()
        assert detections.confidence.tolist() == expected[index].detections.confidence.tolist()
        assert motion == expected[index].motion
    assert min(d.detections.confidence.min(initial=1) for d in expected.values()) < 0.2, "weak ones are kept too"


def test_a_frame_and_its_detections_are_in_one_transaction(broker: MemoryBroker, store: Store) -> None:
    run = make_run()
    send(broker, messages_of(run, 30))
    dying = WatchedStore(store, before=raise_at(2, StoreError("disk full")))
    with pytest.raises(StoreError, match="disk full"):
        Tracking(broker, dying, keep=True).join()
    assert [index for index, _ in store.detections(run.run_id)] == list(range(16))
    assert store.find_run(run.run_id).ledger.tracked == 16


@pytest.mark.parametrize("point", ["before", "after"])
def test_owners_that_die_keep_every_frame_once(broker: MemoryBroker, store_at: OpenStore, point: str) -> None:
    run, store = make_run(), store_at("taken over")
    messages = crowded(run)
    send(broker, out_of_order(messages, 20))
    with pytest.raises(StoreError, match="killed"):
        Tracking(broker, WatchedStore(store, **{point: raise_at(2, StoreError("killed"))}), keep=True).join()
    second = Tracking(broker, store, keep=True)
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    second.end()
    assert_all_kept(store, run, messages)
    assert dump(store, again(store, run)) == reference(store_at, run, messages, tracker="ocsort")


def test_frames_that_waited_in_the_store_are_kept(broker: MemoryBroker, store_at: OpenStore) -> None:
    """An owner spilled all but the first, and died."""
    run, store = make_run(), store_at("spilled")
    messages = crowded(run)
    frames = {m.index: encode(m) for m in messages if isinstance(m, FrameDetections | FrameLost) and m.index}
    store.start_run(run)
    store.spill(store.claim(run.run_id), frames)
    tracked(broker, store, [messages[0], messages[1], messages[-1]])
    assert_all_kept(store, run, messages)
    assert dump(store, again(store, run)) == reference(store_at, run, messages, tracker="ocsort")


# What comes of tracking it again


@pytest.mark.parametrize("tracker", TRACKERS)
def test_it_equals_a_run_with_that_tracker(broker: MemoryBroker, store_at: OpenStore, tracker: str) -> None:
    store, messages = store_at("tracks"), crowded(make_run())
    run = tracked(broker, store, messages)
    new = dump(store, again(store, run, tracker))
    assert new == reference(store_at, run, messages, tracker=tracker)
    assert new["ledger"] == Ledger(COUNT, COUNT - 5, len(FAILED), len(DROPPED))
    assert len({row[1] for row in new["observations"]}) > 10
    if tracker != "bytetrack":
        assert new["observations"] != dump(store, run)["observations"], "or this proves nothing"


def test_stream_source_and_times_are_those_of_the_original(broker: MemoryBroker, store: Store) -> None:
    run, begun = tracked(broker, store, crowded(make_run("gate"))), utc_now()
    new = again(store, run)
    assert new.run_id > run.run_id
    assert new.started_at >= begun
    assert replace(new, run_id=run.run_id, started_at=run.started_at) == run
    times = [[(f.index, f.media_time, f.captured_at) for f in store.outcomes(each.run_id)] for each in (run, new)]
    assert times[0] == times[1]
    assert store.find_run("latest").run == new


def test_it_is_told_every_frame(broker: MemoryBroker, store: Store) -> None:
    run, told = tracked(broker, store, crowded(make_run())), []
    new = again(store, run, on_frame=told.append)
    assert [(frame.run_id, frame.index) for frame in told] == [(new.run_id, index) for index in range(COUNT)]


def test_a_run_tracked_again_can_be_tracked_again_where_that_is_asked_for(
    broker: MemoryBroker, store_at: OpenStore
) -> None:
    store, messages = store_at("tracks"), crowded(make_run())
    run = tracked(broker, store, messages)
    new = again(store, run, keep_detections=True)
    assert list(store.detections(new.run_id)) == list(store.detections(run.run_id))
    assert dump(store, again(store, new, "sort")) == reference(store_at, run, messages, tracker="sort")
    assert list(store.detections(again(store, run).run_id)) == []


def test_a_frame_that_a_tracker_refused_may_suit_another(
    broker: MemoryBroker, store_at: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was detected, so it is no lost frame."""
    store, messages, run = store_at("tracks"), crowded(make_run()), make_run()
    messages = [replace(m, run=run) if isinstance(m, RunStarted) else replace(m, run_id=run.run_id) for m in messages]

    class Fussy:
        def __init__(self) -> None:
            self.inner = opener("sort")(run)

        def update(self, detections: Any, media_time: float, motion: Any = None) -> Any:
            if media_time == 20 / 25:
                raise TrackerError("not this one")
            return self.inner.update(detections, media_time, motion)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    monkeypatch.setattr("tests.support.tracking.opener", lambda name: lambda run: Fussy())
    tracked(broker, store, messages)
    monkeypatch.undo()
    assert [row[0] for row in dump(store, run)["lost"] if row[2] == "not this one"] == [20]
    assert dump(store, again(store, run)) == reference(store_at, run, messages, tracker="ocsort")


def test_a_run_of_lost_frames_alone_is_tracked_again_too(broker: MemoryBroker, store: Store) -> None:
    run = tracked(broker, store, messages_of(make_run(), 9, gone=range(9)))
    assert dump(store, again(store, run))["lost"] == dump(store, run)["lost"]


# When it does not come to its end


def test_an_interrupted_run_stays_interrupted(broker: MemoryBroker, store: Store) -> None:
    messages = crowded(make_run())
    messages[-1] = replace(messages[-1], status=RunStatus.INTERRUPTED)
    run = tracked(broker, store, messages)
    new = store.find_run(again(store, run).run_id)
    assert (new.status, new.ledger) == (RunStatus.INTERRUPTED, store.find_run(run.run_id).ledger)


def test_of_a_run_that_goes_on_its_frames_so_far_are_tracked(broker: MemoryBroker, store_at: OpenStore) -> None:
    store, run = store_at("tracks"), make_run()
    messages = crowded(run)
    tracking = Tracking(broker, store, keep=True)
    send(broker, messages[: 1 + 20])
    wait_until(lambda: published_tracks(broker, run) == list(range(20)), "the first frames")
    new = again(store, run)
    assert_cut(store, new, reference(store_at, run, messages, tracker="ocsort"), frames=20)
    assert store.find_run(run.run_id).status is RunStatus.RUNNING
    tracking.end()


def test_stopping_keeps_what_was_tracked(broker: MemoryBroker, store_at: OpenStore) -> None:
    store, messages, stop = store_at("tracks"), crowded(make_run()), Event()
    run = tracked(broker, store, messages)

    def stop_at(frame: FrameTracks) -> None:
        if frame.index == 24:
            stop.set()

    new = again(store, run, stop=stop, on_frame=stop_at)
    assert_cut(store, new, reference(store_at, run, messages, tracker="ocsort"), frames=25)


@pytest.mark.parametrize("error", [StoreError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize(("point", "frames"), [("before", 14), ("after", 21)])
def test_an_error_leaves_an_interrupted_run(
    broker: MemoryBroker, store_at: OpenStore, error: BaseException, point: str, frames: int
) -> None:
    store, messages = store_at("tracks"), crowded(make_run())
    run = tracked(broker, store, messages)
    with pytest.raises(type(error)):
        again(WatchedStore(store, **{point: raise_at(2, error)}), run)
    assert_cut(store, only_new(store, run), reference(store_at, run, messages, tracker="ocsort"), frames)


def test_without_detections_there_is_no_new_run(broker: MemoryBroker, store: Store) -> None:
    run = tracked(broker, store, crowded(make_run()), keep=False)
    with pytest.raises(NotFound, match=rf"run {run.run_id} keeps no detections .*`database\.detections: true`"):
        again(store, run)
    assert [record.run for record in store.runs()] == [run]


def test_a_tracker_that_cannot_be_makes_no_new_run(broker: MemoryBroker, store: Store) -> None:
    run = tracked(broker, store, crowded(make_run()))

    def refuse(_: Run) -> Any:
        raise TrackerError("no such parameter")

    with pytest.raises(TrackerError):
        retrack(store, store.find_run(run.run_id), refuse, stop=Event())
    assert [record.run for record in store.runs()] == [run]


def test_frames_of_a_worker_that_kept_nothing_are_missed(broker: MemoryBroker, store_at: OpenStore) -> None:
    store, run = store_at("tracks"), make_run()
    messages = crowded(run)
    first = Tracking(broker, store, keep=True)
    send(broker, messages[: 1 + 30])
    wait_until(lambda: published_tracks(broker, run) == list(range(30)), "the first frames")
    first.end()
    second = Tracking(broker, store, keep=False)
    send(broker, messages[1 + 30 :])
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    second.end()
    with pytest.raises(NotFound, match="keeps no detections of frame 30"):
        again(store, run)
    assert_cut(store, only_new(store, run), reference(store_at, run, messages, tracker="ocsort"), frames=28)


def test_damaged_detections_are_named(broker: MemoryBroker, store_at: OpenStore, tmp_path: Path) -> None:
    store, messages = store_at("tracks"), crowded(make_run())
    run = tracked(broker, store, messages)
    engine = create_engine(f"sqlite:///{tmp_path / 'tracks.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE detections SET body = substr(body, 1, 9) WHERE frame = 33"))
    engine.dispose()
    with pytest.raises(StoreError, match=rf"frame 33 of run {run.run_id} cannot be tracked again: .*damaged"):
        again(store, run)
    assert_cut(store, only_new(store, run), reference(store_at, run, messages, tracker="ocsort"), frames=28)
