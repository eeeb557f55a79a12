"""publish, live: fresh however slow the tracking is, wherever the frames pile up; and as before once it goes again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from tests.support.brokers import Taker
from tests.support.runs import found, make_run
from tests.support.scripted import RATE, ScriptedDetector, ScriptedSource
from tests.support.tracking import SHARD, wait_for_end
from tests.support.waiting import Background, no_thread_left, wait_until
from yolotrack.broker.base import FRAMES, Start, tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.config import TrackerSettings
from yolotrack.errors import BrokerClosed, BrokerError
from yolotrack.model import Frame, FrameLost, FrameTracks, Mode, Outcome, Run, new_barrier, utc_now
from yolotrack.roles import backlog
from yolotrack.roles.detect import DetectRole
from yolotrack.roles.publish import publish
from yolotrack.roles.track import TrackRole
from yolotrack.store.base import Store
from yolotrack.vision.tracker import open_tracker

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

LATE = 0.05


def live_run() -> Run:
    return replace(make_run(), mode=Mode.LIVE, started_at=utc_now())


class Detectors:
    """Take every frame at once, and so leave room."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.seen: list[int] = []
        self._broker = broker
        self._subscription = broker.subscribe(FRAMES, 100)
        self._call = Background(self._take)

    def wait_idle(self) -> None:
        wait_until(self._broker.has_room, "room")

    def end(self) -> set[int]:
        """The frames they were given."""
        wait_until(lambda: not self._broker._queue(FRAMES).ready, "the last ones to be taken")
        self._subscription.close()
        self._call.result()
        return set(self.seen)

    def _take(self) -> None:
        for delivery in self._subscription:
            if delivery is not None:
                assert isinstance(delivery.message, Frame)
                self.seen.append(delivery.message.index)
                delivery.ack()


def let_time_pass() -> None:
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2 * LATE, "time to pass")


def publish_with(broker: MemoryBroker, run: Run, count: int, before: Callable[[int], object]) -> set[int]:
    """Which frames were detected of a live run; `before` is called with the number of each picture."""
    detectors = Detectors(broker)

    def next_picture(number: int) -> None:
        detectors.wait_idle()
        before(number)

    assert publish(ScriptedSource(count, before=next_picture), run, broker, SHARD, stop=Event()).frame_count == count
    return detectors.end()


def test_frames_that_nobody_tracks_are_not_detected_until_somebody_does(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BEHIND_SECONDS", LATE)
    run = live_run()
    shard = Taker(broker.subscribe(SHARD, 1000))

    def before(number: int) -> None:
        if number == 10:
            let_time_pass()
        if number == 20:
            catch_up(broker, run, number)

    detected = publish_with(broker, run, 21, before)
    assert {0, 20} <= detected
    assert detected & set(range(10, 20)) == set(), "a frame waited for its tracks all the while"
    dropped = [m.index for d in shard.take(12) if isinstance(m := d.message, FrameLost)]
    assert set(dropped) >= set(range(10, 20))


def catch_up(broker: MemoryBroker, run: Run, count: int) -> None:
    """A tracker gives so many frames their outcome, and the publisher has read it."""
    log = tracks_log(run.stream)
    (reader,) = broker._log(log).readers
    for index in range(count):
        message = found(run, index)
        where = (run.run_id, run.stream, index, message.media_time, message.captured_at)
        broker.publish(log, FrameTracks(*where, Outcome.TRACKED, message.detections))
    broker.publish(log, new_barrier())
    wait_until(lambda: reader.position == count + 1, "the outcomes to be read")


def test_outcomes_of_another_run_of_the_stream_do_not_count(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BEHIND_SECONDS", LATE)

    def before(number: int) -> None:
        if number == 5:
            catch_up(broker, make_run(), number)
            let_time_pass()

    assert 5 not in publish_with(broker, live_run(), 6, before)


class Unreadable(MemoryBroker):
    """A broker whose logs cannot be read, from the beginning or from the first entry on."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(capacity=1024)
        self._at_once = at_once

    def read(self, log: str, start: Start) -> Any:
        if self._at_once:
            raise BrokerError("access refused")
        return Breaking()


class Breaking:
    """A reader that breaks."""

    position = 0

    def __iter__(self) -> Iterator[None]:
        yield None
        raise BrokerError("the log is gone")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("at_once", [True, False])
def test_nothing_is_skipped_for_outcomes_that_cannot_be_read(
    at_once: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backlog, "BEHIND_SECONDS", LATE)
    broker = Unreadable(at_once=at_once)

    def before(number: int) -> None:
        if number in (1, 5):
            wait_until(lambda: caplog.records, "a word about it")
            let_time_pass()

    assert {0, 1, 5} <= publish_with(broker, live_run(), 6, before)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_log_is_no_longer_read_after_the_end(broker: MemoryBroker) -> None:
    run = live_run()
    with no_thread_left():
        publish(ScriptedSource(3), run, broker, SHARD, stop=Event())
        assert broker._log(tracks_log(run.stream)).readers == []


def test_a_closed_broker_ends_it(broker: MemoryBroker) -> None:
    broker.close()
    with pytest.raises(BrokerClosed):
        publish(ScriptedSource(3), live_run(), broker, SHARD, stop=Event())


# with the roles that follow

COUNT = 400
PERIOD = 0.005
TRACK_SECONDS = 0.02
OLDEST = 3.0
"""Without a bound: 400 frames at 0.02 s, less the two seconds in which they came, are six."""


class SlowTracker:
    """A tracker that takes its time."""

    def __init__(self, run: Run) -> None:
        self._tracker = open_tracker(TrackerSettings(), RATE)

    def update(self, *arguments: Any) -> Any:
        time.sleep(TRACK_SECONDS)  # stands for a busy machine
        return self._tracker.update(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


def test_outcomes_stay_fresh_though_tracking_is_slow(
    broker: MemoryBroker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BEHIND_SECONDS", 0.2)
    run, stop = live_run(), Event()
    tracking = TrackRole(broker, store, SlowTracker, commit_frames=25, commit_seconds=0.05)  # type: ignore[arg-type]
    detector = ScriptedDetector()
    detecting = DetectRole(broker, detector, "model", lambda _: SHARD)
    working = [Background(lambda: tracking.run(SHARD, stop)), Background(lambda: detecting.run(stop))]
    ages = Background(lambda: ages_of(broker, run))
    ended = broker.read(tracks_log(run.stream), "start")
    publish(ScriptedSource(COUNT, before=lambda _: time.sleep(PERIOD)), run, broker, SHARD, stop=Event())
    wait_for_end(ended, run)
    stop.set()
    for role in working:
        role.result()
    ledger = store.find_run(run.run_id).ledger
    detector.close()
    assert ledger.in_flight == 0
    assert ledger.published == COUNT
    assert ledger.dropped > 0
    assert ledger.tracked > 20, "it goes on tracking, too"
    assert max(ages.result()) < OLDEST


def ages_of(broker: MemoryBroker, run: Run) -> list[float]:
    """Seconds from the capture of each frame to its outcome."""
    ages: list[float] = []
    for entry in broker.read(tracks_log(run.stream), "start"):
        if isinstance(entry, FrameTracks):
            ages.append((utc_now() - entry.captured_at).total_seconds())
            if entry.index == COUNT - 1:
                break
    return ages
