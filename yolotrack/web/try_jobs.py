"""The queue of the demo page: one job at a time, each in a folder of its own that is gone when its time is over."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from secrets import token_urlsafe
from threading import Condition, Event, Thread
from typing import Any, Protocol

from yolotrack.crew import join
from yolotrack.errors import YolotrackError
from yolotrack.model import Pixels

log = logging.getLogger(__name__)

VIDEO = "annotated.mp4"
TABLE = "tracks.csv"
RESULTS = (VIDEO, TABLE)
"""What a job that is done leaves in its folder."""
PATIENCE_SECONDS = 10.0
"""Longest wait for the job under way when the queue closes."""
TIDY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one visitor may ask of this machine."""

    upload_bytes: int = 200 * 1024 * 1024
    upload_seconds: float = 600.0
    """An upload that takes longer is given up."""
    video_seconds: float = 120.0
    """Longer videos are cut."""
    waiting: int = 5
    """Jobs behind the one that runs, uploads under way included."""
    job_seconds: float = 600.0
    """A job that takes longer ends with what it has."""
    kept_seconds: float = 1800.0
    """How long results can be had."""
    kept: int = 20
    """Jobs whose results are kept, and as many others that ended; of either the oldest go first."""


class State(str, Enum):
    """Where a job is."""

    UPLOADING = "uploading"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Status:
    """A job at one moment."""

    state: State
    message: str = ""
    """What the visitor should know: why it failed, or what is special about the result."""
    frames: int = 0
    expected: int | None = None
    """Frames that will come, as far as the source knows."""
    objects: int = 0
    """In the newest frame."""
    tracks: int = 0
    seconds: float = 0.0
    """Of tracking, from the first frame on."""

    @property
    def ended(self) -> bool:
        """Nothing changes any more."""
        return self.state in ENDED

    @property
    def fps(self) -> float:
        """Frames per second of tracking."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


class Cancelled(Exception):
    """The job that reports is no longer wanted."""


class Job:
    """One source to be tracked: an uploaded video, or the synthetic street of a seed.

    `status` and `newest` may be read from any thread. `report` and `show` belong to the thread that tracks.
    """

    def __init__(self, folder: Path, seed: int | None, job_seconds: float) -> None:
        self.job_id = token_urlsafe(16)
        """Whoever knows it may watch, cancel and download; nobody guesses it."""
        self.seed = seed
        """None for an upload."""
        self.folder = folder / self.job_id
        self.scratch = self.folder / "scratch"
        """For files that are nobody's business once the job has ended."""
        self.upload = self.scratch / "upload"
        self.stop = Event()
        """Set when the time is up: what is tracked by then is the result."""
        self.status = Status(State.UPLOADING)
        self.newest: tuple[int, Pixels] | None = None
        """The picture drawn last, and how many there were."""
        self.cancelled = False
        self.ended_at = 0.0
        self._job_seconds = job_seconds
        self._started = self._first = 0.0
        self.scratch.mkdir(parents=True)

    def begin(self) -> None:
        """It is this job's turn."""
        self._started = time.monotonic()
        self.status = Status(State.RUNNING)

    def report(self, frames: int, expected: int | None, objects: int, tracks: int) -> None:
        """How far it is. Raises `Cancelled` when nobody wants the rest."""
        if self.cancelled:
            raise Cancelled
        now = time.monotonic()
        if now - self._started > self._job_seconds:
            self.stop.set()
        self._first = self._first or (now if frames else 0.0)
        seconds = now - self._first if self._first else 0.0
        self.status = Status(State.RUNNING, "", frames, expected, objects, tracks, seconds)

    def show(self, pixels: Pixels) -> None:
        """The newest drawn picture, whether it was shown before or not."""
        if self.newest is None or self.newest[1] is not pixels:
            self.newest = (self.newest[0] + 1 if self.newest else 1, pixels)

    def end(self, state: State, message: str = "") -> None:
        """Forget all but the results, and these too where it is not done."""
        shutil.rmtree(self.scratch if state is State.DONE else self.folder, ignore_errors=True)
        self.newest = None
        self.ended_at = time.monotonic()
        self.status = replace(self.status, state=state, message=message)


class Studio(Protocol):
    """Where jobs are done."""

    def check(self) -> None:
        """A `YolotrackError` in one line where uploads cannot be tracked. In a thread of its own."""

    def track(self, job: Job) -> str:
        """Track the job's source to its end, or until `job.stop`, and report to it on the way.

        Leaves `RESULTS` in `job.folder`, and returns what the visitor should know of them, mostly nothing. Errors
        are `YolotrackError`, fit for the visitor; `Cancelled` passes.
        """


class Jobs:
    """The queue and the one thread that works it off. Safe to call from any thread.

    A job takes its place when its upload begins, and keeps it whether or not anybody watches.
    """

    def __init__(self, studio: Studio, folder: Path, limits: Limits) -> None:
        """`folder` must be there, and be nobody else's."""
        self.limits = limits
        self.checked = False
        """Whether it is known if uploads can be tracked."""
        self.refusal = ""
        """Why they cannot."""
        self._studio = studio
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._changed = Condition()
        self._closed = False
        self._threads = [_started(self._work, "demo jobs"), _started(self._tidy, "demo tidy")]
        _started(self._check, "demo check")

    def open(self, seed: int | None = None) -> Job | None:
        """A new job, its place in the queue taken; None where all are. An upload is yet to come, a street begins."""
        with self._changed:
            waiting = sum(job.status.state in (State.UPLOADING, State.WAITING) for job in self._jobs.values())
            if self._closed or waiting >= self.limits.waiting:
                return None
            job = Job(self._folder, seed, self.limits.job_seconds)
            self._jobs[job.job_id] = job
        if seed is not None:
            self.submit(job)
        return job

    def submit(self, job: Job) -> None:
        """All of it is there: to the end of the queue."""
        with self._changed:
            if job.cancelled or self._closed:
                return
            job.status = Status(State.WAITING)
            self._queue.append(job)
            self._changed.notify_all()

    def find(self, job_id: str) -> Job | None:
        """By its id, as long as it is kept."""
        with self._changed:
            return self._jobs.get(job_id)

    def ahead(self, job: Job) -> int:
        """How many jobs a waiting one waits for."""
        with self._changed:
            running = any(other.status.state is State.RUNNING for other in self._jobs.values())
            return self._queue.index(job) + running if job in self._queue else 0

    def cancel(self, job: Job) -> None:
        """Nobody wants it any more: at once, or at the next report of one that runs. One that has ended stays."""
        with self._changed:
            job.cancelled = True
            if job.status.ended or job.status.state is State.RUNNING:
                return
            if job in self._queue:
                self._queue.remove(job)
            job.end(State.CANCELLED)

    def close(self) -> None:
        """End what runs, and take nothing more; idempotent. The folder is the caller's to remove."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancelled = True
            self._changed.notify_all()
        join(self._threads, PATIENCE_SECONDS)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            state, message = self._done(job)
            with self._changed:
                job.end(state, message)

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._queue)
            if self._closed:
                return None
            job = self._queue.popleft()
            job.begin()
            return job

    def _done(self, job: Job) -> tuple[State, str]:
        try:
            return State.DONE, self._studio.track(job)
        except Cancelled:
            return State.CANCELLED, ""
        except YolotrackError as error:
            return State.FAILED, str(error)
        except Exception:
            log.exception("a job of the demo page failed")
            return State.FAILED, "something went wrong that nobody foresaw; the log of this app says what"

    def _check(self) -> None:
        try:
            self._studio.check()
        except YolotrackError as error:
            self.refusal = str(error)
            log.warning("videos of visitors cannot be tracked: %s", error)
        self.checked = True

    def _tidy(self) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._closed, TIDY_SECONDS):
                for job in self._stale():
                    shutil.rmtree(job.folder, ignore_errors=True)
                    del self._jobs[job.job_id]

    def _stale(self) -> list[Job]:
        ended = sorted((job for job in self._jobs.values() if job.status.ended), key=lambda job: job.ended_at)
        earliest = time.monotonic() - self.limits.kept_seconds
        kept: Counter[bool] = Counter()
        stale = []
        for job in reversed(ended):
            has_results = job.status.state is State.DONE
            kept[has_results] += 1
            if kept[has_results] > self.limits.kept or job.ended_at < earliest:
                stale.append(job)
        return stale


def as_dict(status: Status) -> dict[str, Any]:
    """A status as the page reads it."""
    return {
        "state": status.state.value,
        "message": status.message,
        "frames": status.frames,
        "expected": status.expected,
        "objects": status.objects,
        "tracks": status.tracks,
        "fps": round(status.fps, 1),
    }


def _started(work: Callable[[], None], name: str) -> Thread:
    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
