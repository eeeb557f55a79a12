"""`run_pipeline` with scripted sources, detectors and sinks, and the real store, trackers and roles."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.pipelines import QUEUE, MakeDetector, expected_rows, make_job, rows_of, run_jobs
from tests.support.scripted import (
    HEIGHT,
    WIDTH,
    RecordingSink,
    ScriptedSource,
    number_of,
)
from yolotrack.config import PipelineSettings
from yolotrack.errors import ModelError
from yolotrack.model import Ledger, Mode, Outcome, RunStatus
from yolotrack.pipeline import Job, Progress, new_run
from yolotrack.store.base import Store

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("every_thread_ends")]


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
    [failed] = store.outcomes(job.run.run_id, (11, 12))
    assert (failed.index, failed.outcome, failed.reason) == (11, Outcome.FAILED, "out of memory")
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
    dropped = [t.index for t in store.outcomes(job.run.run_id) if t.outcome is Outcome.DROPPED]
    assert len(dropped) == ledger.dropped
    assert rows_of(store, job.run) == expected_rows(150, lost=tuple(dropped))
    if sink is not None:
        assert sink.written == list(range(150)), "the video is whole"


def test_live_survives_a_detector_that_hangs_for_long(store: Store, make_detector: MakeDetector) -> None:
    """Drops pile up behind the one frame that is not done; they must not keep it from the tracker."""
    gone_by = Event()
    count = 600  # more than a small prefetch
    source = ScriptedSource(count, live=True, before=lambda number: number == count - 1 and gone_by.set())
    detector = make_detector(before=lambda number: gone_by.wait(20))
    (summary,) = run_jobs([Job(source, new_run(source))], detector, store)
    assert summary.ledger.published == count
    assert summary.ledger.in_flight == 0


# Memory


@pytest.mark.parametrize("slow", ["detector", "sink", "detector without sink"])
def test_few_pictures_are_alive_at_once(store: Store, make_detector: MakeDetector, slow: str) -> None:
    tick = Event()
    sink = None if slow.endswith("without sink") else RecordingSink(lambda _: slow == "sink" and tick.wait(0.002))
    source = ScriptedSource(250)
    detector = make_detector(capacity=4, latency=0.0 if slow == "sink" else 0.002)
    run_jobs([make_job(source, sink)], detector, store)
    gc.collect()
    in_the_detector = 2 * detector.capacity + 2
    assert source.census.most <= QUEUE + in_the_detector + 4
    assert source.census.alive == 0
