"""`run_pipeline` stopped, interrupted and broken: promptly over, whole up to a frame, no thread left."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.support.pipelines import ENDLESS, MakeDetector, assert_cut_short, make_job, run_jobs
from tests.support.runs import WatchedStore
from tests.support.scripted import (
    RecordingSink,
    ScriptedSource,
    number_of,
)
from tests.support.waiting import wait_until
from yolotrack import pipeline
from yolotrack.errors import ModelError, OutputError, SourceError, StoreError, TrackerError
from yolotrack.model import Ledger, Run, RunStatus
from yolotrack.pipeline import Job, Progress, new_run
from yolotrack.store.base import Store

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("every_thread_ends")]


@pytest.fixture(autouse=True)
def nothing_ends_by_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs until the pipeline gives up on him makes his test time out."""
    monkeypatch.setattr(pipeline, "PATIENCE_SECONDS", 300.0)


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


def test_an_interrupt_does_not_wait_for_a_source_that_hangs(
    store: Store, make_detector: MakeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_SECONDS", 0.2)
    gate = Event()
    job = make_job(
        ScriptedSource(ENDLESS, before=lambda number: number == 20 and gate.wait(20)), sink := RecordingSink()
    )

    def interrupt(progress: Progress) -> None:
        if progress.frames == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], make_detector(), store, on_progress=interrupt)
    assert not gate.is_set()
    assert sink.state == "aborted"
    gate.set()  # the thread that was left behind ends now, and adds nothing
    wait_until(lambda: job.source.closed, "the source to be closed")
    assert_cut_short(store, job.run)


# Broken


def test_a_detector_that_cannot_be_prepared_begins_nothing(store: Store, make_detector: MakeDetector) -> None:
    detector = make_detector()

    def prepare(width: int, height: int) -> None:
        raise ModelError(f"no room for {width}x{height}")

    detector.prepare = prepare
    with pytest.raises(ModelError, match="no room for 64x48"):
        run_jobs([make_job(ScriptedSource(ENDLESS), RecordingSink())], detector, store)
    assert list(store.runs()) == []


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
    tick = Event()

    def write(number: int) -> None:
        if number == 10:
            tick.wait(0.1)  # the publisher waits for room by then
            raise OutputError("disk full")

    broken, whole = RecordingSink(write), RecordingSink()
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
