"""A watched stream: drawn once for all who look, at each one's own pace, and not at all for nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.brokers import RUN_ID
from tests.support.scripted import scene
from tests.support.waiting import no_thread_left, wait_until
from yolotrack.broker.base import tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import BadPicture
from yolotrack.model import Frame, FrameTracks, Outcome, RunEnded, RunStatus, utc_now
from yolotrack.roles import pairs
from yolotrack.roles import watch as watching
from yolotrack.roles.watch import Drawn, Paint, Rendition, Watch

SMALL, LARGE = Rendition(480), Rendition(1920)
STREAM = "cam"


class Stage:
    """One stream, its watch, and what was painted."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(capacity=1000, retain=1000)  # what it keeps, a reader from "now" does not miss
        self.painted: Counter[tuple[Rendition, str, int]] = Counter()
        self.opened: list[Rendition] = []
        self.watch = Watch(self.broker, STREAM, self._open_paint)
        self.reads(tracks_log(STREAM))

    def reads(self, log: str, readers: int = 1) -> None:
        wait_until(lambda: len(self.broker._log(log).readers) == readers, f"{readers} to read {log}")

    def publish(self, index: int, *, outcome: Outcome = Outcome.TRACKED, run: str = RUN_ID) -> None:
        """A frame with its outcome."""
        self.frame(index, run)
        self.tracks(index, outcome=outcome, run=run)

    def frame(self, index: int, run: str = RUN_ID) -> None:
        self.broker.publish_frame(Frame(run, STREAM, index, index / 25, utc_now(), b"%d" % index), detect=False)

    def tracks(self, index: int, *, outcome: Outcome = Outcome.TRACKED, run: str = RUN_ID) -> None:
        found = scene(index)
        found.tracker_id = found.class_id
        told = FrameTracks(run, STREAM, index, index / 25, utc_now(), outcome, found)
        self.broker.publish(tracks_log(STREAM), told)

    def _open_paint(self, rendition: Rendition) -> Paint:
        self.opened.append(rendition)

        def paint(jpeg: bytes, tracks: FrameTracks) -> bytes:
            assert int(jpeg) == tracks.index
            self.painted[rendition, tracks.run_id, tracks.index] += 1
            if tracks.index == 13:
                raise BadPicture("13")
            return b"drawn " + jpeg

        return paint


class Looker:
    """Asks, and keeps what it got."""

    def __init__(self, watch: Watch, rendition: Rendition = SMALL) -> None:
        self.got: list[Drawn] = []
        self._watch = watch
        self._rendition = rendition

    @property
    def indexes(self) -> list[int]:
        return [drawn.tracks.index for drawn in self.got]

    def ask(self) -> None:
        self._watch.ask(self, self._rendition, self.got[-1].key if self.got else None, self.got.append)

    def forget(self) -> None:
        self._watch.forget(self)

    def wait(self, count: int) -> None:
        wait_until(lambda: len(self.got) >= count, f"picture {count}")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with no_thread_left():
        opened = Stage()
        yield opened
        opened.watch.close()
        opened.broker.close()
        assert opened.watch.error is None


def looking(stage: Stage, *lookers: Looker) -> None:
    """They ask, and pictures are read."""
    for looker in lookers:
        looker.ask()
    stage.reads("video.cam")


def test_a_frame_is_drawn_once_however_many_look(stage: Stage) -> None:
    lookers = [Looker(stage.watch) for _ in range(5)]
    looking(stage, *lookers)
    for index in range(20):
        stage.publish(index)
        for looker in lookers:
            looker.wait(index + 1)
            looker.ask()
    assert all(looker.indexes == list(range(20)) for looker in lookers)
    assert set(stage.painted.values()) == {1}
    assert len(stage.painted) == 20
    assert stage.opened == [SMALL], "one pen for all of them, so that traces go on"
    assert lookers[0].got[3].jpeg == b"drawn 3"


def test_each_rendition_is_drawn_for_those_who_want_it(stage: Stage) -> None:
    small, large = Looker(stage.watch), Looker(stage.watch, LARGE)
    looking(stage, small, large)
    stage.publish(0)
    small.wait(1)
    large.wait(1)
    assert {key[0] for key in stage.painted} == {SMALL, LARGE}
    assert large.got[0].rendition == LARGE


def test_nobody_asking_means_no_drawing_and_no_pictures_read(stage: Stage) -> None:
    stage.publish(0)
    wait_until(lambda: stage.watch.sight().run_id, "the frame to be counted")
    assert stage.painted == {}
    assert stage.broker._log("video.cam").readers == []


def test_pictures_are_no_longer_read_after_the_last_one_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LINGER_SECONDS", 0.05)
    looker = Looker(stage.watch)
    looking(stage, looker)
    looker.forget()
    stage.reads("video.cam", 0)
    stage.publish(0)
    wait_until(lambda: stage.watch.sight().run_id, "the frame to be counted")
    assert looker.got == []
    assert stage.painted == {}
    looking(stage, looker)
    stage.publish(1)
    looker.wait(1)
    assert looker.indexes == [1]


def test_whoever_comes_back_after_a_pause_is_not_shown_what_was(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LINGER_SECONDS", 0.05)
    first, back = Looker(stage.watch), Looker(stage.watch)
    looking(stage, first)
    stage.publish(0)
    first.wait(1)
    stage.reads("video.cam", 0)
    stage.tracks(1, outcome=Outcome.DROPPED)
    back.ask()
    back.wait(1)
    assert back.indexes == [0], "still the newest there is"
    stage.reads("video.cam", 0)
    stage.tracks(2)
    wait_until(lambda: stage.watch._pairs.newest is None, "the frame to pass by")
    back.ask()
    stage.reads("video.cam")
    stage.publish(3)
    back.wait(2)
    assert back.indexes == [0, 3]


def test_whoever_is_slow_gets_fewer_pictures_and_the_newest(stage: Stage) -> None:
    slow, quick = Looker(stage.watch), Looker(stage.watch)
    looking(stage, slow, quick)
    for index in range(30):
        stage.publish(index)
        quick.wait(index + 1)
        quick.ask()
    assert slow.indexes == [0]
    slow.ask()
    slow.wait(2)
    assert slow.indexes == [0, 29]


def test_whoever_comes_late_is_shown_the_last_picture(stage: Stage) -> None:
    first, late = Looker(stage.watch), Looker(stage.watch)
    looking(stage, first)
    stage.publish(0)
    first.wait(1)
    late.ask()
    late.wait(1)
    assert late.indexes == [0]
    assert set(stage.painted.values()) == {1}


def test_tracks_may_come_before_their_picture(stage: Stage) -> None:
    looker = Looker(stage.watch)
    looking(stage, looker)
    stage.tracks(4)
    wait_until(lambda: stage.watch.sight().run_id, "the tracks to be counted")
    stage.frame(4)
    looker.wait(1)
    assert looker.indexes == [4]


def test_frames_that_were_not_tracked_are_counted_and_not_shown(stage: Stage) -> None:
    looker = Looker(stage.watch)
    looking(stage, looker)
    stage.publish(0, outcome=Outcome.DROPPED)
    stage.publish(1, outcome=Outcome.FAILED)
    stage.publish(2, outcome=Outcome.DROPPED)
    stage.publish(3)
    looker.wait(1)
    assert looker.indexes == [3]
    sight = stage.watch.sight()
    assert (sight.dropped, sight.failed, sight.moment.lost) == (2, 1, 3)


def test_a_picture_that_cannot_be_read_is_told_and_holds_nobody_up(stage: Stage) -> None:
    looker = Looker(stage.watch)
    looking(stage, looker)
    for index in (13, 14):
        stage.publish(index)
        looker.wait(index - 12)
        looker.ask()
    assert [drawn.jpeg for drawn in looker.got] == [None, b"drawn 14"]


def test_what_waits_for_its_tracks_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "HELD_FRAMES", 10)
    looker = Looker(stage.watch)
    looking(stage, looker)
    for index in range(200):
        stage.frame(index)
    wait_until(lambda: stage.broker._log("video.cam").readers[0].position == 200, "all of them to be read")
    assert len(stage.watch._pairs._frames) == 10
    stage.tracks(3)
    stage.tracks(195)
    looker.wait(1)
    assert looker.indexes == [195]


def test_a_new_run_counts_from_the_beginning(stage: Stage) -> None:
    other = RUN_ID[:-1] + "2"
    stage.publish(0, outcome=Outcome.DROPPED)
    stage.broker.publish(tracks_log(STREAM), RunEnded(RUN_ID, STREAM, 1, RunStatus.COMPLETE))
    wait_until(lambda: stage.watch.sight().ended, "the end")
    stage.publish(0, run=other)
    wait_until(lambda: stage.watch.sight().run_id == other, "the other run")
    sight = stage.watch.sight()
    assert sight.dropped == 0
    assert sight.ended is not None and sight.ended.run_id == RUN_ID
    assert sight.moment.objects == 2
