"""`run_pipeline` with scripted sources, detectors and sinks, and the real store, trackers and roles."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.runs import WatchedStore
from tests.support.scripted import (
    HEIGHT,
    RATE,
    WIDTH,
    RecordingSink,
    ScriptedDetector,
    ScriptedSource,
    number_of,
    plain_copy,
    scene,
)
from tests.support.waiting import no_thread_left
from yolotrack.config import DatabaseSettings, PipelineSettings, TrackerSettings
from yolotrack.errors import ModelError, OutputError, SourceError, StoreError, TrackerError
from yolotrack.model import Ledger, Mode, Outcome, Run, RunStatus
from yolotrack.pipeline import Job, Progress, RunSummary, new_run, run_pipeline
from yolotrack.store.base import Store
from yolotrack.store.sql import open_store
from yolotrack.vision.tracker import open_tracker

pytestmark = pytest.mark.timeout(30)

ENDLESS = 60_000
QUEUE = 8
SETTINGS = PipelineSettings(queue_frames=QUEUE, commit_frames=4, commit_seconds=0.05)

MakeDetector = Callable[..., ScriptedDetector]


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(DatabaseSettings(url=f"sqlite:///{tmp_path / 'tracks.db'}"))
    yield opened
    opened.close()


@pytest.fixture
def make_detector() -> Iterator[MakeDetector]:
    made: list[ScriptedDetector] = []

    def make(**options: Any) -> ScriptedDetector:
        made.append(ScriptedDetector(**options))
        return made[-1]

    yield make
    for detector in made:
        detector.close()


def tracker_of(run: Run):
    return open_tracker(TrackerSettings(name="bytetrack"), run.rate)


def make_job(source: ScriptedSource, sink: RecordingSink | None = None, **options: Any) -> Job:
    return Job(source, new_run(source), sink, plain_copy, **options)


def run_jobs(jobs: list[Job], detector: ScriptedDetector, store: Any, **options: Any) -> list[RunSummary]:
    options = {"stop": Event(), "settings": SETTINGS, "open_tracker": tracker_of, **options}
    return run_pipeline(jobs, detector, "model", store, **options)


def expected_rows(count: int, lost: tuple[int, ...] = ()) -> list[tuple[int, int, tuple[float, ...]]]:
    """Frame, track and box of every observation, with nothing between the detector and the tracker."""
    tracker = open_tracker(TrackerSettings(name="bytetrack"), RATE)
    rows = []
    for index in range(count):
        if index not in lost:
            tracks = tracker.update(scene(index), index / 25)
            rows += [
                (index, track, tuple(box))
                for track, box in zip(tracks.tracker_id.tolist(), tracks.xyxy.tolist(), strict=True)
            ]
    return rows


def rows_of(store: Store, run: Run) -> list[tuple[int, int, tuple[float, ...]]]:
    return [(row.frame, row.track_id, row.xyxy) for row in store.observations(run.run_id)]


def assert_cut_short(store: Store, run: Run) -> None:
    """What a run looks like that ended before its frames did: whole up to a frame, and it balances."""
    record = store.find_run(run.run_id)
    assert record.status is RunStatus.INTERRUPTED
    assert record.ended_at is not None
    assert record.ledger.in_flight == 0
    assert rows_of(store, run) == expected_rows(record.ledger.published)


# To the end


def test_a_video_becomes_rows_and_a_video(store: Store, make_detector: MakeDetector) -> None:
    source, sink = ScriptedSource(90), RecordingSink()
    job = make_job(source, sink, output=Path("out.mp4"))
    detector = make_detector()
    (summary,) = run_jobs([job], detector, store)
    assert rows_of(store, job.run) == expected_rows(90)
    assert summary.ledger == Ledger(90, 90, 0, 0)
    assert (summary.status, summary.output, summary.skipped) == (RunStatus.COMPLETE, Path("out.mp4"), 0)
    assert summary.tracks_by_class["car"] == 2
    assert sum(summary.tracks_by_class.values()) == len({track for _, track, _ in expected_rows(90)})
    assert summary.fps == pytest.approx(90 / summary.seconds)
    assert (sink.written, sink.state) == (list(range(90)), "closed")
    assert sink.times == [number / 25 for number in range(90)]
    assert source.closed
    assert detector.prepared == [(WIDTH, HEIGHT)]


def test_without_a_video_only_rows_are_written(store: Store, make_detector: MakeDetector) -> None:
    job = Job(source := ScriptedSource(60), new_run(source))
    (summary,) = run_jobs([job], make_detector(), store)
    assert rows_of(store, job.run) == expected_rows(60)
    assert summary.ledger == Ledger(60, 60, 0, 0)


def test_speed_of_the_device_changes_no_row(store: Store, make_detector: MakeDetector) -> None:
    job = make_job(ScriptedSource(40))
    run_jobs([job], make_detector(capacity=3, latency=0.003), store)
    assert rows_of(store, job.run) == expected_rows(40)


def test_a_source_without_pictures_completes(store: Store, make_detector: MakeDetector) -> None:
    sink = RecordingSink()
    (summary,) = run_jobs([make_job(ScriptedSource(0), sink)], make_detector(), store)
    assert (summary.status, summary.ledger, sink.state) == (RunStatus.COMPLETE, Ledger(0, 0, 0, 0), "closed")


def test_several_sources_at_once_do_not_mix(store: Store, make_detector: MakeDetector) -> None:
    counts = {"left": 50, "right": 70, "middle": 5}
    sinks = [RecordingSink() for _ in counts]
    jobs = [
        make_job(ScriptedSource(count, stream), sink)
        for (stream, count), sink in zip(counts.items(), sinks, strict=True)
    ]
    summaries = run_jobs(jobs, make_detector(), store)
    for job, summary, sink, count in zip(jobs, summaries, sinks, counts.values(), strict=True):
        assert summary.run == job.run
        assert summary.ledger == Ledger(count, count, 0, 0)
        assert rows_of(store, job.run) == expected_rows(count)
        assert (sink.written, sink.state) == (list(range(count)), "closed")


def test_progress_and_pictures_are_shown_in_the_callers_thread(store: Store, make_detector: MakeDetector) -> None:
    seen: list[Progress] = []
    shown: list[int] = []
    threads = set()

    def show(stream: str, pixels: Any) -> None:
        assert stream == "scripted"
        threads.add(threading.current_thread())
        shown.append(number_of(pixels))

    run_jobs([make_job(ScriptedSource(60))], make_detector(latency=0.01), store, on_progress=seen.append, show=show)
    assert threads == {threading.current_thread()}
    assert shown == sorted(shown)
    assert shown[-1] == 59
    assert [progress.frames for progress in seen] == sorted(progress.frames for progress in seen)
    assert (seen[-1].frames, seen[-1].expected, seen[-1].lost, seen[-1].objects) == (60, 60, 0, len(last_tracks(60)))


def last_tracks(count: int) -> list[int]:
    return [track for frame, track, _ in expected_rows(count) if frame == count - 1]


def test_a_frame_that_the_detector_refuses_fails_alone(store: Store, make_detector: MakeDetector) -> None:
    def refuse(number: int) -> None:
        if number == 11:
            raise ModelError("out of memory")

    job = make_job(ScriptedSource(40), sink := RecordingSink())
    (summary,) = run_jobs([job], make_detector(before=refuse), store)
    assert summary.ledger == Ledger(40, 39, 1, 0)
    assert summary.status is RunStatus.COMPLETE
    assert [(t.index, t.outcome, t.reason) for t in store.lost_frames(job.run.run_id)] == [
        (11, Outcome.FAILED, "out of memory")
    ]
    assert rows_of(store, job.run) == expected_rows(40, lost=(11,))
    assert sink.written == list(range(40)), "the picture is in the video all the same"


@pytest.mark.parametrize("drawn", [True, False])
def test_live_skips_what_it_cannot_keep_up_with(store: Store, make_detector: MakeDetector, drawn: bool) -> None:
    sink = RecordingSink() if drawn else None
    job = make_job(ScriptedSource(150, live=True), sink)
    assert job.run.mode is Mode.LIVE
    settings = PipelineSettings(queue_frames=32, commit_frames=4, commit_seconds=0.05)
    (summary,) = run_jobs([job], make_detector(capacity=2, latency=0.02), store, settings=settings)
    ledger = summary.ledger
    assert ledger.published == 150
    assert ledger.in_flight == 0
    assert ledger.dropped > 0
    assert ledger.tracked > 0
    dropped = [t.index for t in store.lost_frames(job.run.run_id) if t.outcome is Outcome.DROPPED]
    assert len(dropped) == ledger.dropped
    assert rows_of(store, job.run) == expected_rows(150, lost=tuple(dropped))
    if sink is not None:
        assert sink.written == list(range(150)), "the video is whole"


def test_live_survives_a_detector_that_hangs_for_long(store: Store, make_detector: MakeDetector) -> None:
    """Drops pile up behind the one frame that is not done; they must not keep it from the tracker."""
    gone_by = Event()
    count = 900
    source = ScriptedSource(count, live=True, before=lambda number: number == count - 1 and gone_by.set())
    detector = make_detector(before=lambda number: gone_by.wait(20))
    (summary,) = run_jobs([Job(source, new_run(source))], detector, store)
    assert summary.ledger.published == count
    assert summary.ledger.in_flight == 0


# Stopped


def test_stopping_keeps_everything_published(store: Store, make_detector: MakeDetector) -> None:
    stop, sink = Event(), RecordingSink()
    job = make_job(ScriptedSource(ENDLESS, before=lambda number: number == 20 and stop.set()), sink)
    (summary,) = run_jobs([job], make_detector(latency=0.002), store, stop=stop)
    assert summary.status is RunStatus.INTERRUPTED
    assert summary.ledger == Ledger(21, 21, 0, 0)
    assert (sink.written, sink.state) == (list(range(21)), "closed")
    assert_cut_short(store, job.run)


def test_stopping_ends_all_sources(store: Store, make_detector: MakeDetector) -> None:
    stop, sinks = Event(), [RecordingSink(), RecordingSink()]
    jobs = [
        make_job(ScriptedSource(ENDLESS, "left", before=lambda number: number == 30 and stop.set()), sinks[0]),
        make_job(ScriptedSource(ENDLESS, "right"), sinks[1]),
    ]
    for summary, sink in zip(run_jobs(jobs, make_detector(), store, stop=stop), sinks, strict=True):
        assert summary.status is RunStatus.INTERRUPTED
        assert sink.state == "closed"
        assert len(sink.written) == summary.ledger.published == summary.ledger.tracked


def test_stopped_before_it_began_it_still_ends_well(store: Store, make_detector: MakeDetector) -> None:
    stop = Event()
    stop.set()
    job = make_job(ScriptedSource(ENDLESS), sink := RecordingSink())
    (summary,) = run_jobs([job], make_detector(), store, stop=stop)
    assert summary.status is RunStatus.INTERRUPTED
    assert summary.ledger.published == len(sink.written) <= 1


@pytest.mark.parametrize("slow", ["nothing", "detector", "sink"])
def test_an_interrupt_leaves_at_once(store: Store, make_detector: MakeDetector, slow: str) -> None:
    tick = Event()
    sink = RecordingSink(lambda _: slow == "sink" and tick.wait(0.01))
    job = make_job(ScriptedSource(ENDLESS), sink)

    def interrupt(progress: Progress) -> None:
        if progress.frames > 10:
            raise KeyboardInterrupt

    detector = make_detector(latency=0.02 if slow == "detector" else 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], detector, store, on_progress=interrupt)
    assert sink.state == "aborted"
    assert job.source.closed
    assert_cut_short(store, job.run)


def test_an_interrupt_before_the_first_frame_leaves_no_run_running(store: Store, make_detector: MakeDetector) -> None:
    gate = Event()
    job = make_job(ScriptedSource(ENDLESS, before=lambda _: gate.wait(20)), sink := RecordingSink())

    def interrupt(progress: Progress) -> None:
        gate.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], make_detector(), store, on_progress=interrupt)
    assert sink.state == "aborted"
    assert not [record for record in store.runs() if record.status is RunStatus.RUNNING]


# Broken


def test_a_source_that_breaks_keeps_what_came_before(store: Store, make_detector: MakeDetector) -> None:
    sinks = [RecordingSink(), RecordingSink()]
    jobs = [
        make_job(ScriptedSource(90, "broken", fail_at=33), sinks[0]),
        make_job(ScriptedSource(60, "whole"), sinks[1]),
    ]
    with pytest.raises(SourceError, match="broken at picture 33"):
        run_jobs(jobs, make_detector(), store)
    assert store.find_run(jobs[0].run.run_id).ledger == Ledger(33, 33, 0, 0)
    assert_cut_short(store, jobs[0].run)
    assert (sinks[0].written, sinks[0].state) == (list(range(33)), "closed")
    assert store.find_run(jobs[1].run.run_id).status is RunStatus.COMPLETE
    assert (sinks[1].written, sinks[1].state) == (list(range(60)), "closed")


def fail_at(number: int, error: Exception) -> Callable[[int], None]:
    def fail(current: int) -> None:
        if current == number:
            raise error

    return fail


@pytest.mark.parametrize("slow", ["nothing", "detector", "sink"])
@pytest.mark.parametrize("number", [0, 25])
def test_a_sink_that_cannot_write_ends_the_run(
    store: Store, make_detector: MakeDetector, number: int, slow: str
) -> None:
    """Whether or not the publisher waits for room in the queue or in the log just then."""
    tick = Event()

    def write(current: int) -> None:
        if slow == "sink":
            tick.wait(0.05 if current == number else 0.001)
        fail_at(number, OutputError("disk full"))(current)

    sink = RecordingSink(write)
    job = make_job(ScriptedSource(ENDLESS), sink)
    latency = 0.02 if slow == "detector" else 0.0
    with pytest.raises(OutputError, match="disk full"):
        run_jobs([job], make_detector(latency=latency), store)
    assert sink.state == "aborted"
    assert_cut_short(store, job.run)
    assert store.find_run(job.run.run_id).ledger.published >= number + 1


def test_a_sink_that_cannot_be_finished_is_aborted(store: Store, make_detector: MakeDetector) -> None:
    class Unfinishable(RecordingSink):
        def close(self) -> None:
            raise OutputError("disk full at the very end")

    job = make_job(ScriptedSource(30), sink := Unfinishable())
    with pytest.raises(OutputError, match="very end"):
        run_jobs([job], make_detector(), store)
    assert sink.state == "aborted"
    assert store.find_run(job.run.run_id).ledger == Ledger(30, 30, 0, 0)


def test_one_sink_that_cannot_write_spares_the_others(store: Store, make_detector: MakeDetector) -> None:
    broken, whole = RecordingSink(fail_at(10, OutputError("disk full"))), RecordingSink()
    jobs = [
        make_job(ScriptedSource(ENDLESS, "broken"), broken),
        make_job(ScriptedSource(ENDLESS, "whole"), whole),
    ]
    with pytest.raises(OutputError):
        run_jobs(jobs, make_detector(), store)
    assert (broken.state, whole.state) == ("aborted", "closed")
    for job in jobs:
        assert_cut_short(store, job.run)
    assert len(whole.written) == store.find_run(jobs[1].run.run_id).ledger.published


def test_a_drawing_that_fails_ends_the_run(store: Store, make_detector: MakeDetector) -> None:
    def draw(pixels: Any, tracks: Any) -> Any:
        fail_at(12, RuntimeError("a defect"))(tracks.index)
        return pixels

    source, sink = ScriptedSource(ENDLESS), RecordingSink()
    job = Job(source, new_run(source), sink, draw)
    with pytest.raises(RuntimeError, match="a defect"):
        run_jobs([job], make_detector(), store)
    assert sink.state == "aborted"
    assert_cut_short(store, job.run)


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("drawn", [True, False])
def test_a_store_that_refuses_ends_everything(
    store: Store, make_detector: MakeDetector, number: int, drawn: bool
) -> None:
    sink = RecordingSink()
    job = make_job(ScriptedSource(ENDLESS), sink if drawn else None)
    with pytest.raises(StoreError, match="disk full"):
        run_jobs([job], make_detector(), WatchedStore(store, before=fail_at(number, StoreError("disk full"))))
    assert sink.state == ("aborted" if drawn else "open")
    assert_cut_short(store, job.run)


@pytest.mark.parametrize("number", [0, 25])
def test_a_detector_with_a_defect_ends_everything(store: Store, make_detector: MakeDetector, number: int) -> None:
    job = make_job(ScriptedSource(ENDLESS), sink := RecordingSink())
    with pytest.raises(RuntimeError, match="a defect"):
        run_jobs([job], make_detector(before=fail_at(number, RuntimeError("a defect"))), store)
    assert sink.state == "aborted"
    assert_cut_short(store, job.run)


def test_a_tracker_that_fails_ends_everything(store: Store, make_detector: MakeDetector) -> None:
    def no_tracker(run: Run):
        raise TrackerError("no such tracker")

    job = make_job(ScriptedSource(ENDLESS), sink := RecordingSink())
    with pytest.raises(TrackerError):
        run_jobs([job], make_detector(), store, open_tracker=no_tracker)
    assert sink.state == "aborted"
    assert_cut_short(store, job.run)


def test_motion_that_cannot_be_estimated_ends_its_run(store: Store, make_detector: MakeDetector) -> None:
    def estimate(pixels: Any) -> None:
        fail_at(9, RuntimeError("a defect"))(number_of(pixels))

    job = make_job(ScriptedSource(ENDLESS), sink := RecordingSink(), estimate_motion=estimate)
    with pytest.raises(RuntimeError, match="a defect"):
        run_jobs([job], make_detector(), store)
    assert (sink.written, sink.state) == (list(range(9)), "closed")
    assert_cut_short(store, job.run)


def test_what_the_caller_raises_comes_back(store: Store, make_detector: MakeDetector) -> None:
    def broken_pipe(progress: Progress) -> None:
        raise BrokenPipeError

    job = make_job(ScriptedSource(ENDLESS), sink := RecordingSink())
    with pytest.raises(BrokenPipeError):
        run_jobs([job], make_detector(), store, on_progress=broken_pipe)
    assert sink.state == "aborted"


# Memory


@pytest.mark.parametrize("slow", ["detector", "sink", "detector without sink"])
def test_few_pictures_are_alive_at_once(store: Store, make_detector: MakeDetector, slow: str) -> None:
    tick = Event()
    sink = None if slow.endswith("without sink") else RecordingSink(lambda _: slow == "sink" and tick.wait(0.002))
    source = ScriptedSource(400)
    detector = make_detector(capacity=4, latency=0.0 if slow == "sink" else 0.002)
    run_jobs([make_job(source, sink)], detector, store)
    gc.collect()
    in_the_detector = 2 * detector.capacity + 2
    assert source.census.most <= QUEUE + in_the_detector + 4
    assert source.census.alive == 0
