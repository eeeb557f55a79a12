"""`run`: every role in one process, wired by the embedded broker. Values only; no picture is compressed on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeAlias

from yolotrack.broker.base import shard_topic, tracks_log, video_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.config import PipelineSettings
from yolotrack.crew import Crew, join
from yolotrack.errors import StoreAway
from yolotrack.model import (
    FrameTracks,
    Ledger,
    Mode,
    Outcome,
    Pixels,
    Run,
    RunStatus,
    new_run_id,
    utc_now,
)
from yolotrack.roles.books import close_books
from yolotrack.roles.compile import Pair, compile_video, merge, outcomes
from yolotrack.roles.detect import DetectRole
from yolotrack.roles.endure import track_on
from yolotrack.roles.publish import EstimateMotion, publish
from yolotrack.roles.track import OpenTracker, TrackRole
from yolotrack.store.base import Store
from yolotrack.video.base import Draw, Sink, Source
from yolotrack.vision.base import Detector

PICTURE_BYTES = 512 * 1024 * 1024
"""Most memory for pictures on their way between roles."""
WATCH_SECONDS = 0.1
SHOW_SECONDS = 0.02
PATIENCE_SECONDS = 5.0
"""Longest wait for threads once all is over. One that hangs in a source or detector is left behind: it ends by itself
when that gives way, and can neither publish nor commit."""
STORE_PATIENCE = 60.0
"""Longest time that a database may be away; the source waits meanwhile."""
SHARD = shard_topic("", 1)
"""One process needs one shard."""

Show: TypeAlias = Callable[[str, Pixels], None]
"""Takes the newest drawn picture of a stream; called in the caller's thread of `run_pipeline`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One source and what becomes of it."""

    source: Source
    run: Run
    sink: Sink | None = None
    draw: Draw | None = None
    """Needed with a sink, or to show."""
    output: Path | None = None
    estimate_motion: EstimateMotion | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, at one moment."""

    run: Run
    expected: int | None
    """Frames that will come, as far as the source knows."""
    frames: int
    lost: int
    """Of these, failed or dropped."""
    objects: int
    """In the newest frame."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to."""

    run: Run
    status: RunStatus
    ledger: Ledger
    skipped: int
    """Pictures of the source that could not be decoded."""
    seconds: float
    tracks_by_class: dict[str, int]
    output: Path | None

    @property
    def fps(self) -> float:
        """Frames per second of wall time, from the first role's start to the last one's end."""
        return self.ledger.published / self.seconds if self.seconds > 0 else 0.0


def new_run(source: Source, stream: str | None = None, mode: Mode | None = None) -> Run:
    """A run of `source` that begins now; a camera is `live` and a file `archive` unless told otherwise."""
    info = source.info
    chosen = mode or (Mode.LIVE if info.live else Mode.ARCHIVE)
    return Run(new_run_id(), stream or info.stream, info.name, utc_now(), chosen, info.width, info.height, info.rate)


def run_pipeline(
    jobs: Sequence[Job],
    detector: Detector,
    model: str,
    store: Store,
    open_tracker: OpenTracker,
    settings: PipelineSettings,
    *,
    stop: Event,
    on_progress: Callable[[Progress], None] = lambda _: None,
    show: Show | None = None,
    keep_detections: bool = False,
) -> list[RunSummary]:
    """Run all jobs to their end and summarise each, in order. The jobs' streams differ.

    Setting `stop` ends the publishing; what is in flight is tracked, committed and drawn, and the runs are
    `interrupted`. A source that breaks ends its own run that way; a sink that cannot write ends all, and is
    aborted. The first error is raised when everything has ended. An exception in the caller's thread, such as a
    second Ctrl-C, leaves at once: what is committed stays, videos are aborted.
    """
    for job in jobs:
        detector.prepare(job.run.width, job.run.height)
    broker = MemoryBroker(_capacity(jobs, settings))
    crew = Crew()
    lanes = [_Lane(job, broker, drawing=job.sink is not None or show is not None) for job in jobs]
    drained = Event()
    started = time.monotonic()
    try:
        for lane in lanes:
            crew.start(f"compile {lane.job.run.stream}", lane.follow, on_error=stop.set)
        new_role = partial(
            TrackRole,
            broker,
            store,
            open_tracker,
            commit_frames=settings.commit_frames,
            commit_seconds=settings.commit_seconds,
            keep_detections=keep_detections,
        )
        tracking = partial(track_on, new_role, SHARD, drained, bearing=StoreAway, patience=STORE_PATIENCE)
        crew.start("track", tracking, on_error=broker.close)
        detecting = DetectRole(broker, detector, model, _shard)
        crew.start("detect", lambda: detecting.run(drained), on_error=broker.close)
        publishing = [crew.start(f"publish {lane.job.run.stream}", partial(lane.publish, stop)) for lane in lanes]
        _watch(lanes, on_progress, show)
        join(
            publishing, PATIENCE_SECONDS
        )  # after a sink's error they may still wait for room, which the others must go on to make
    finally:
        drained.set()
        broker.close()
        join(crew.threads, PATIENCE_SECONDS)
        for job in jobs:
            close_books(store, job.run.run_id)
    if crew.error is not None:
        raise crew.error
    return [lane.summary(store, time.monotonic() - started) for lane in lanes]


def _capacity(jobs: Sequence[Job], settings: PipelineSettings) -> int:
    """Frames that may wait: as configured, fewer when they are large; always room for a transaction's worth."""
    largest = max(3 * job.run.width * job.run.height for job in jobs)
    affordable = PICTURE_BYTES // (2 * len(jobs) * largest)
    return max(min(settings.queue_frames, affordable), settings.commit_frames, 2)


def _shard(_stream: str) -> str:
    return SHARD


def _watch(lanes: Sequence[_Lane], on_progress: Callable[[Progress], None], show: Show | None) -> None:
    pause = SHOW_SECONDS if show is not None else WATCH_SECONDS
    while not all(lane.finished.wait(pause / len(lanes)) for lane in lanes):
        _report(lanes, on_progress, show)
    _report(lanes, on_progress, show)


def _report(lanes: Sequence[_Lane], on_progress: Callable[[Progress], None], show: Show | None) -> None:
    for lane in lanes:
        on_progress(lane.progress())
        if show is not None and lane.newest is not None:
            show(lane.job.run.stream, lane.newest)


class _Lane:
    """One job on its way: publishes it, follows it, draws it, counts."""

    def __init__(self, job: Job, broker: MemoryBroker, *, drawing: bool) -> None:
        """Opens the logs now, so that no frame comes before its readers."""
        self.job = job
        self.newest: Pixels | None = None
        self.finished = Event()
        self._broker = broker
        self._tracks = broker.read(tracks_log(job.run.stream), "start")
        self._video = broker.read(video_log(job.run.stream), "start") if drawing else None
        self._frames = self._lost = self._objects = 0

    def publish(self, stop: Event) -> None:
        """The publisher's thread."""
        with closing(self.job.source):
            publish(
                self.job.source,
                self.job.run,
                self._broker,
                SHARD,
                stop=stop,
                estimate_motion=self.job.estimate_motion,
            )

    def follow(self) -> None:
        """The compiler's thread: reads to the run's end, and draws and writes where that is asked for."""
        never = Event()
        try:
            if self._video is None:
                for tracks in outcomes(self._tracks, self.job.run.run_id, stop=never):
                    self._count(tracks)
            else:
                pairs = merge(self._video, self._tracks, self.job.run.run_id, stop=never)
                compile_video(self._counted(pairs), self._draw, self.job.sink)
        finally:
            self._close_logs()  # an error keeps the generators that read them alive, and open readers hold publishers
            self.finished.set()

    def progress(self) -> Progress:
        """Now; from any thread."""
        return Progress(self.job.run, self.job.source.info.frame_count, self._frames, self._lost, self._objects)

    def summary(self, store: Store, seconds: float) -> RunSummary:
        """Of the finished run, as the store has it."""
        record = store.find_run(self.job.run.run_id)
        by_class = Counter(track.class_name for track in store.tracks(record.run.run_id))
        return RunSummary(
            record.run, record.status, record.ledger, self.job.source.skipped, seconds, dict(by_class), self.job.output
        )

    def _close_logs(self) -> None:
        self._tracks.close()
        if self._video is not None:
            self._video.close()

    def _count(self, tracks: FrameTracks) -> None:
        self._frames += 1
        self._lost += tracks.outcome is not Outcome.TRACKED
        self._objects = len(tracks.tracks)

    def _counted(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        for frame, tracks in pairs:
            yield frame, tracks
            self._count(tracks)

    def _draw(self, pixels: Pixels, tracks: FrameTracks) -> Pixels:
        assert self.job.draw is not None  # noqa: S101  # a job that draws says how
        self.newest = self.job.draw(pixels, tracks)
        return self.newest
