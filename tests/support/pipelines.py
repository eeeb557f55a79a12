"""Scripted jobs for `run_pipeline`, and what they must come to."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from tests.support.scripted import (
    RATE,
    RecordingSink,
    ScriptedDetector,
    ScriptedSource,
    plain_copy,
    scene,
)
from yolotrack.config import PipelineSettings, TrackerSettings
from yolotrack.model import Run, RunStatus
from yolotrack.pipeline import Job, RunSummary, new_run, run_pipeline
from yolotrack.store.base import Store
from yolotrack.vision.tracker import open_tracker

ENDLESS = 60_000
QUEUE = 8
SETTINGS = PipelineSettings(queue_frames=QUEUE, commit_frames=4, commit_seconds=0.05)

MakeDetector = Callable[..., ScriptedDetector]


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
