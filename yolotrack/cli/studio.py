"""Where the demo page's jobs are done: the same pipeline as `run`, in the job's own folder."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from yolotrack.errors import YolotrackError

if TYPE_CHECKING:
    from pathlib import Path

    from yolotrack.config import Settings
    from yolotrack.model import FrameTracks, Pixels
    from yolotrack.pipeline import Progress, RunSummary
    from yolotrack.store.base import Store
    from yolotrack.video.base import Draw, Source
    from yolotrack.web.try_jobs import Job

STREET_FRAMES = 300
PREVIEW_WIDTH = 1280
"""Wider pictures are scaled down for the page; the video keeps its size."""
PREVIEW_QUALITY = 80


class PipelineStudio:
    """The `Studio` of this machine."""

    def __init__(self, uploads: Settings, street: Settings, video_seconds: float) -> None:
        """Settings for uploaded videos, which are cut after so many seconds, and for the synthetic street."""
        self._uploads = uploads
        self._street = street
        self._video_seconds = video_seconds

    def check(self) -> None:
        """Opens the model for uploads, which downloads it where it must."""
        from yolotrack.vision.detector import open_detector

        with closing(open_detector(self._uploads.model)):
            pass

    def track(self, job: Job) -> str:
        """See `Studio.track`."""
        try:
            return self._tracked_street(job, job.seed) if job.seed is not None else self._tracked_upload(job)
        except YolotrackError as error:  # whose folders these are is nobody's business
            told = str(error).replace(f"file:{job.upload}", "this video").replace(str(job.upload), "this video")
            raise YolotrackError(told.replace(f"{job.folder}/", "")) from error

    def _tracked_street(self, job: Job, seed: int) -> str:
        from yolotrack.demo.scene import Scene
        from yolotrack.demo.source import SceneSource

        return _noted(_track(self._street, SceneSource(Scene(seed=seed, frames=STREET_FRAMES)), job), job, "")

    def _tracked_upload(self, job: Job) -> str:
        from yolotrack.config import SourceSettings
        from yolotrack.video.probe import probe
        from yolotrack.video.source import open_source

        seconds = probe(job.upload, "this file").seconds
        cut = seconds is not None and seconds > self._video_seconds
        with closing(open_source(str(job.upload), SourceSettings(end=self._video_seconds))) as source:
            summary = _track(self._uploads, source, job)
        return _noted(summary, job, f"only the first {self._video_seconds:g} s were tracked" if cut else "")


def preview(pixels: Pixels) -> bytes:
    """The JPEG of a picture for the page."""
    from yolotrack.video.fit import narrow
    from yolotrack.video.jpeg import encode

    return encode(narrow(pixels, PREVIEW_WIDTH), PREVIEW_QUALITY)


def _noted(summary: RunSummary, job: Job, note: str) -> str:
    if job.stop.is_set():
        return f"its time was up: only the first {summary.ledger.published} frames were tracked"
    return note


def _track(settings: Settings, source: Source, job: Job) -> RunSummary:
    from yolotrack.cli.run import new_job, open_output
    from yolotrack.pipeline import new_run, run_pipeline
    from yolotrack.store.sql import open_store
    from yolotrack.vision.detector import open_detector
    from yolotrack.vision.tracker import open_tracker
    from yolotrack.web.try_jobs import TABLE, VIDEO

    run = new_run(source)
    with ExitStack() as stack:
        path = job.folder / VIDEO
        opened = new_job(settings, source, run, open_output(stack, settings, source, run, path), path)
        assert opened.draw is not None  # noqa: S101  # it has a video to draw
        draw = _CountingDraw(opened.draw)
        detector = stack.enter_context(closing(open_detector(settings.model)))
        database = settings.database.model_copy(update={"url": f"sqlite:///{job.scratch / 'tracks.db'}"})
        store = stack.enter_context(closing(open_store(database)))

        def report(progress: Progress) -> None:
            job.report(progress.frames, progress.expected, progress.objects, draw.tracks)

        (summary,) = run_pipeline(
            [replace(opened, draw=draw)],
            detector,
            settings.model.weights,
            store,
            lambda run_: open_tracker(settings.tracker, run_.rate),
            settings.pipeline,
            stop=job.stop,
            on_progress=report,
            show=lambda _, pixels: job.show(pixels),
        )
        _write_table(job.folder / TABLE, store, run.run_id)
        return summary


class _CountingDraw:
    """Draws, and counts the tracks on the way: their ids are dense from 1."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.tracks = 0

    def __call__(self, pixels: Pixels, tracks: FrameTracks) -> Pixels:
        ids = tracks.tracks.tracker_id
        if ids is not None and len(ids):
            self.tracks = max(self.tracks, int(ids.max()))
        return self._draw(pixels, tracks)


def _write_table(path: Path, store: Store, run_id: str) -> None:
    from yolotrack.formats.writers import write_rows
    from yolotrack.store.base import Selection

    with path.open("wb") as file:
        write_rows("csv", file, store.select(Selection((run_id,))))
