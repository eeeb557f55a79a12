"""publish and compile over the embedded broker; detect and track have files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event

import pytest

from tests.support.brokers import Taker, all_in, left_in, make_frame, publish_pictures
from tests.support.runs import found, lost, make_run
from tests.support.scripted import RecordingSink, ScriptedSource, make_picture, number_of, plain_copy
from tests.support.waiting import Background, no_thread_left, wait_until
from yolotrack.broker.base import FRAMES, LogReader, tracks_log, video_log
from yolotrack.broker.memory import LIVE_BACKLOG, MemoryBroker
from yolotrack.errors import BrokerClosed, OutputError, SourceError
from yolotrack.model import (
    Frame,
    FrameTracks,
    Message,
    Mode,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
    utc_now,
)
from yolotrack.roles.compile import compile_video, merge, outcomes
from yolotrack.roles.publish import publish

pytestmark = pytest.mark.timeout(60)

SHARD = "detections.0"


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker(capacity=256, retain=256)
    yield opened
    opened.close()


def everything(reader: LogReader) -> list[Message]:
    """All entries that are there."""
    found = []
    for message in reader:
        if message is None:
            return found
        found.append(message)
    return found


# publish


def live_run() -> Run:
    run = make_run()
    return Run(run.run_id, run.stream, run.source, run.started_at, Mode.LIVE, run.width, run.height, None)


def test_publish_sends_every_picture_between_start_and_end(broker: MemoryBroker) -> None:
    run = make_run()
    ended = RunEnded(run.run_id, run.stream, 12, RunStatus.COMPLETE)
    assert publish(ScriptedSource(12), run, broker, SHARD, stop=Event()) == ended
    assert all_in(broker, SHARD) == [RunStarted(run), ended]
    frames = everything(broker.read(video_log(run.stream), "start"))
    assert [frame.index for frame in frames] == list(range(12))
    assert [number_of(frame.picture) for frame in frames] == list(range(12))
    assert [frame.media_time for frame in frames] == [number / 25 for number in range(12)]
    assert [number for number, _ in left_in(broker, FRAMES)] == list(range(12))


def test_publish_tells_a_source_without_pictures_from_none(broker: MemoryBroker) -> None:
    run = make_run()
    assert publish(ScriptedSource(0), run, broker, SHARD, stop=Event()).frame_count == 0
    assert all_in(broker, SHARD)[-1] == RunEnded(run.run_id, run.stream, 0, RunStatus.COMPLETE)


def test_publish_stops_after_the_current_frame(broker: MemoryBroker) -> None:
    run, stop = make_run(), Event()
    source = ScriptedSource(50, before=lambda number: number == 7 and stop.set())
    assert publish(source, run, broker, SHARD, stop=stop).frame_count == 8
    assert all_in(broker, SHARD)[-1] == RunEnded(run.run_id, run.stream, 8, RunStatus.INTERRUPTED)


def test_publish_keeps_what_came_before_an_error_of_the_source(broker: MemoryBroker) -> None:
    run = make_run()
    with pytest.raises(SourceError, match="broken at picture 5"):
        publish(ScriptedSource(50, fail_at=5), run, broker, SHARD, stop=Event())
    assert all_in(broker, SHARD)[-1] == RunEnded(run.run_id, run.stream, 5, RunStatus.INTERRUPTED)
    assert [number for number, _ in left_in(broker, FRAMES)] == list(range(5))


class Away(MemoryBroker):
    """A broker that is away when it is to settle, for longer than anybody waits."""

    def settle(self) -> None:
        raise AssertionError("it waits for the broker")


@pytest.mark.parametrize("mode", list(Mode))
def test_publish_leaves_at_once_when_it_is_interrupted(mode: Mode) -> None:
    def before(number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    broker = Away(capacity=256)
    with pytest.raises(KeyboardInterrupt):
        publish(ScriptedSource(9, before=before), replace(make_run(), mode=mode), broker, SHARD, stop=Event())


def test_publish_asks_for_the_motion_of_every_picture_in_order(broker: MemoryBroker) -> None:
    publish(
        ScriptedSource(6),
        make_run(),
        broker,
        SHARD,
        stop=Event(),
        estimate_motion=lambda pixels: (float(number_of(pixels)),) if number_of(pixels) else None,
    )
    frames = everything(broker.read(video_log("cam"), "start"))
    assert [frame.motion for frame in frames] == [None, (1.0,), (2.0,), (3.0,), (4.0,), (5.0,)]


def test_publish_live_skips_detection_when_behind(broker: MemoryBroker) -> None:
    run = live_run()
    assert publish(ScriptedSource(20), run, broker, SHARD, stop=Event()).frame_count == 20
    _, *dropped, ended = all_in(broker, SHARD)
    assert [frame.index for frame in everything(broker.read(video_log(run.stream), "start"))] == list(range(20))
    assert [number for number, _ in left_in(broker, FRAMES)] == list(range(LIVE_BACKLOG))
    assert [(m.index, m.outcome) for m in dropped] == [(index, Outcome.DROPPED) for index in range(LIVE_BACKLOG, 20)]
    assert ended == RunEnded(run.run_id, run.stream, 20, RunStatus.COMPLETE)


def test_publish_archive_waits_for_room() -> None:
    broker = MemoryBroker(capacity=4)
    source = ScriptedSource(20)
    publishing = Background(lambda: publish(source, make_run(), broker, SHARD, stop=Event()))
    assert Taker(broker.subscribe(FRAMES, 2)).numbers(20) == list(range(20))
    assert publishing.result().frame_count == 20
    assert len(all_in(broker, SHARD)) == 2, "start and end, and nothing dropped"


# compile


def tracked(run: Run, index: int) -> FrameTracks:
    message = found(run, index)
    return FrameTracks(
        run.run_id, run.stream, index, index / 25, message.captured_at, Outcome.TRACKED, message.detections
    )


def failed(run: Run, index: int) -> FrameTracks:
    message = lost(run, index)
    return FrameTracks(
        run.run_id, run.stream, index, index / 25, message.captured_at, Outcome.FAILED, found(run, 0).detections[:0]
    )


def both_logs(broker: MemoryBroker) -> tuple[LogReader, LogReader]:
    return broker.read(video_log("cam"), "start"), broker.read(tracks_log("cam"), "start")


def end_of(run: Run, count: int) -> RunEnded:
    return RunEnded(run.run_id, run.stream, count, RunStatus.COMPLETE)


def test_merge_pairs_every_frame_with_its_outcome(broker: MemoryBroker) -> None:
    run, log = make_run(), tracks_log("cam")
    publish_pictures(broker, 6, run.run_id)
    for index in range(6):
        broker.publish(log, failed(run, index) if index == 3 else tracked(run, index))
    broker.publish(log, end_of(run, 6))
    pairs = list(merge(*both_logs(broker), run.run_id, stop=Event()))
    assert [(frame.index, tracks.index) for frame, tracks in pairs] == [(n, n) for n in range(6)]
    assert pairs[3][1].outcome is Outcome.FAILED


def test_merge_skips_repeats_and_other_runs(broker: MemoryBroker) -> None:
    other, run, log = make_run(), make_run(), tracks_log("cam")
    publish_pictures(broker, 2, other.run_id)
    publish_pictures(broker, 5, run.run_id)
    for message in (tracked(other, 0), tracked(other, 1), end_of(other, 2)):
        broker.publish(log, message)
    for index in (0, 1, 2, 1, 2, 3, 4):  # 1 and 2 were published again after a takeover
        broker.publish(log, tracked(run, index))
    broker.publish(log, end_of(run, 5))
    pairs = list(merge(*both_logs(broker), run.run_id, stop=Event()))
    assert [tracks.index for _, tracks in pairs] == [0, 1, 2, 3, 4]
    assert {frame.run_id for frame, _ in pairs} == {run.run_id}


def test_merge_stops_when_told(broker: MemoryBroker) -> None:
    run, stop = make_run(), Event()
    publish_pictures(broker, 3, run.run_id)
    broker.publish(tracks_log("cam"), tracked(run, 0))
    pairs = merge(*both_logs(broker), run.run_id, stop=stop)
    assert next(pairs)[0].index == 0
    stop.set()
    assert list(pairs) == []


def test_merge_of_a_run_that_never_ends_is_an_error_when_the_broker_closes(broker: MemoryBroker) -> None:
    run = make_run()
    publish_pictures(broker, 3, run.run_id)
    broker.publish(tracks_log("cam"), tracked(run, 0))
    pairs = merge(*both_logs(broker), run.run_id, stop=Event())
    next(pairs)
    broker.close()
    with pytest.raises(BrokerClosed):
        next(pairs)


@pytest.mark.parametrize("frames", [0, 3])
def test_merge_closes_both_readers(frames: int) -> None:
    run, broker = make_run(), MemoryBroker(capacity=4)
    video, tracks = both_logs(broker)
    publish_pictures(broker, frames, run.run_id)
    for index in range(frames):
        broker.publish(tracks_log("cam"), tracked(run, index))
    broker.publish(tracks_log("cam"), end_of(run, frames))
    assert len(list(merge(video, tracks, run.run_id, stop=Event()))) == frames
    for index in range(20):  # a reader that was still open would block these
        broker.publish_frame(make_frame("cam", index), detect=False)
        broker.publish(tracks_log("cam"), tracked(run, index))
    broker.close()


def test_outcomes_end_with_the_run(broker: MemoryBroker) -> None:
    run = make_run()
    for message in (tracked(run, 0), failed(run, 1), end_of(run, 2), tracked(run, 2)):
        broker.publish(tracks_log("cam"), message)
    seen = list(outcomes(broker.read(tracks_log("cam"), "start"), run.run_id, stop=Event()))
    assert [tracks.outcome for tracks in seen] == [Outcome.TRACKED, Outcome.FAILED]


def some_pairs(count: int) -> Iterator[tuple[Frame, FrameTracks]]:
    run = make_run()
    for index in range(count):
        yield Frame(run.run_id, "cam", index, index / 25, utc_now(), make_picture(index)), tracked(run, index)


def test_compile_writes_every_pair_and_finishes() -> None:
    sink = RecordingSink()
    compile_video(some_pairs(5), plain_copy, sink)
    assert (sink.written, sink.state) == ([0, 1, 2, 3, 4], "closed")
    assert sink.times == [number / 25 for number in range(5)]


@pytest.mark.parametrize("where", ["pairs", "draw", "write", "close"])
def test_compile_aborts_on_an_error_wherever_it_is(where: str) -> None:
    def fail_at_2(number: int, here: str) -> None:
        if number == 2 and where == here:
            raise OutputError(f"no {here}")

    class Sink(RecordingSink):
        def close(self) -> None:
            fail_at_2(2, "close")
            super().close()

    def pairs() -> Iterator[tuple[Frame, FrameTracks]]:
        for number, pair in enumerate(some_pairs(5)):
            fail_at_2(number, "pairs")
            yield pair

    def draw(pixels, tracks):
        fail_at_2(tracks.index, "draw")
        return pixels

    sink = Sink(lambda number: fail_at_2(number, "write"))
    with pytest.raises(OutputError, match=f"no {where}"):
        compile_video(pairs(), draw, sink)
    assert sink.state == "aborted"
    assert sink.written == list(range(5 if where == "close" else 2))


def test_compile_draws_in_order_without_a_sink() -> None:
    drawn: list[int] = []

    def draw(pixels, tracks):
        drawn.append(tracks.index)
        return pixels

    compile_video(some_pairs(4), draw, None)
    assert drawn == [0, 1, 2, 3]


def test_waiting_notices_what_is_late() -> None:
    with pytest.raises(AssertionError, match="in vain: the impossible"):
        wait_until(lambda: False, "the impossible", seconds=0.02)
