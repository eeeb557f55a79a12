"""The queue of the demo page: one at a time, in order, and nothing left of what nobody may keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock

import numpy as np
import pytest

from tests.support.waiting import no_thread_left, wait_until
from yolotrack.errors import ModelError, SourceError
from yolotrack.web import try_jobs
from yolotrack.web.try_jobs import RESULTS, TABLE, VIDEO, Job, Jobs, Limits, State


class HandStudio:
    """Reports a frame, then does what it is told: `go` lets a job end, `fail` makes it fail."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.began: list[Job] = []
        self.seen: dict[str, bytes] = {}
        self.at_once = 0
        self.fail: Exception | None = None
        self._go = Event()
        self._refusal = refusal
        self._at_work = Lock()

    def check(self) -> None:
        if self._refusal:
            raise self._refusal

    def go(self) -> None:
        self._go.set()

    def track(self, job: Job) -> str:
        assert self._at_work.acquire(blocking=False), "two jobs at once"
        try:
            if job.seed is None:
                self.seen[job.job_id] = job.upload.read_bytes()
            (job.folder / VIDEO).write_bytes(b"half")
            self.began.append(job)
            frames = 0
            while not (self._go.wait(0.001) or job.stop.is_set()):
                frames += 1
                job.report(frames, 1000, 3, 7)
            if self.fail:
                raise self.fail
            for name in RESULTS:
                (job.folder / name).write_bytes(b"whole")
            return "cut" if job.stop.is_set() else ""
        finally:
            self._at_work.release()


@contextmanager
def queue(folder: Path, studio: HandStudio | None = None, **limits: float) -> Iterator[tuple[Jobs, HandStudio]]:
    studio = studio or HandStudio()
    with closing(Jobs(studio, folder, replace(Limits(), **limits))) as jobs:  # type: ignore[arg-type]
        yield jobs, studio


def opened(jobs: Jobs, seed: int | None = None) -> Job:
    job = jobs.open(seed)
    assert job is not None
    return job


def uploaded(jobs: Jobs, content: bytes = b"video") -> Job:
    job = opened(jobs)
    job.upload.write_bytes(content)
    jobs.submit(job)
    return job


def wait_for(job: Job, state: State) -> None:
    wait_until(lambda: job.status.state is state, f"{state} rather than {job.status}")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_jobs_are_done_one_at_a_time_in_order(tmp_path: Path) -> None:
    with queue(tmp_path) as (jobs, studio):
        first, second, third = opened(jobs, 1), uploaded(jobs, b"second"), opened(jobs, 3)
        wait_for(first, State.RUNNING)

        assert [jobs.ahead(job) for job in (first, second, third)] == [0, 1, 2]
        assert second.status.state is third.status.state is State.WAITING
        studio.go()
        wait_for(third, State.DONE)

    assert studio.began == [first, second, third]
    assert studio.seen == {second.job_id: b"second"}


def test_a_full_queue_takes_nothing_until_there_is_room(tmp_path: Path) -> None:
    with queue(tmp_path, waiting=2) as (jobs, studio):
        running = opened(jobs, 0)
        wait_for(running, State.RUNNING)
        uploading, waiting = opened(jobs), opened(jobs, 1)

        assert jobs.open() is None
        assert jobs.open(5) is None
        assert len(list(tmp_path.iterdir())) == 3, "what was refused leaves no folder"

        jobs.cancel(uploading)
        assert jobs.open(2) is not None
        studio.go()
        wait_for(waiting, State.DONE)


def test_an_upload_is_deleted_when_its_job_is_done_and_the_results_stay(tmp_path: Path) -> None:
    with queue(tmp_path) as (jobs, studio):
        job = uploaded(jobs)
        wait_for(job, State.RUNNING)
        assert f"{job.job_id}/scratch/upload" in files(tmp_path)

        studio.go()
        wait_for(job, State.DONE)

        assert files(tmp_path) == {f"{job.job_id}/{name}" for name in (VIDEO, TABLE)}
        assert jobs.find(job.job_id) is job
        assert not (job.folder / "scratch").exists()


@pytest.mark.parametrize(
    ("error", "told"), [(SourceError("it is no video"), "it is no video"), (ZeroDivisionError("of a secret"), "nobody")]
)
def test_a_job_that_fails_says_why_and_leaves_nothing_and_the_next_one_begins(
    tmp_path: Path, error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with queue(tmp_path) as (jobs, studio):
        studio.fail = error
        studio.go()
        bad = uploaded(jobs)
        wait_for(bad, State.FAILED)

        assert told in bad.status.message
        assert "secret" not in bad.status.message
        assert files(tmp_path) == set()
        studio.fail = None
        wait_for(uploaded(jobs), State.DONE)


def test_cancelling_ends_a_job_wherever_it_is(tmp_path: Path) -> None:
    with queue(tmp_path) as (jobs, studio):
        running, waiting, uploading = uploaded(jobs), uploaded(jobs), opened(jobs)
        uploading.upload.write_bytes(b"half")
        wait_until(lambda: running.status.frames > 0, "the first report")

        for job in (running, waiting, uploading):
            jobs.cancel(job)

        assert waiting.status.state is uploading.status.state is State.CANCELLED
        wait_for(running, State.CANCELLED)
        assert studio.began == [running]
        assert files(tmp_path) == set()
        jobs.submit(uploading)
        assert uploading.status.state is State.CANCELLED, "its upload may end later, and changes nothing"

        studio.go()
        done = uploaded(jobs)
        wait_for(done, State.DONE)
        jobs.cancel(done)
        assert done.status.state is State.DONE
        assert {f"{done.job_id}/{name}" for name in RESULTS} == files(tmp_path)


def test_a_job_whose_time_is_up_ends_with_what_it_has(tmp_path: Path) -> None:
    with queue(tmp_path, job_seconds=0.05) as (jobs, _):
        job = uploaded(jobs)

        wait_for(job, State.DONE)

        assert job.status.message == "cut"
        assert job.status.frames > 0
        assert {f"{job.job_id}/{name}" for name in RESULTS} == files(tmp_path)


def test_results_go_when_their_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_jobs, "TIDY_SECONDS", 0.01)
    with queue(tmp_path, kept_seconds=0.2) as (jobs, studio):
        studio.go()
        job = uploaded(jobs)

        wait_for(job, State.DONE)
        wait_until(lambda: jobs.find(job.job_id) is None, "the job to be forgotten")
        assert files(tmp_path) == set()


def test_only_the_newest_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_jobs, "TIDY_SECONDS", 0.01)
    with queue(tmp_path, kept=2) as (jobs, studio):
        studio.go()
        done = []
        for seed in range(4):
            done.append(opened(jobs, seed))
            wait_for(done[-1], State.DONE)

        wait_until(lambda: jobs.find(done[1].job_id) is None, "the second to be forgotten")
        assert [jobs.find(job.job_id) for job in done] == [None, None, *done[2:]]
        assert {name.partition("/")[0] for name in files(tmp_path)} == {job.job_id for job in done[2:]}


def test_jobs_that_were_cancelled_push_out_nobodys_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_jobs, "TIDY_SECONDS", 0.01)
    with queue(tmp_path, kept=2) as (jobs, studio):
        studio.go()
        done = opened(jobs, 1)
        wait_for(done, State.DONE)
        others = [opened(jobs) for _ in range(4)]
        for job in others:
            jobs.cancel(job)

        wait_until(lambda: jobs.find(others[1].job_id) is None, "the second to be forgotten")
        assert [jobs.find(job.job_id) for job in (done, *others)] == [done, None, None, *others[2:]]


def test_closing_ends_what_runs_and_takes_nothing_more(tmp_path: Path) -> None:
    with no_thread_left():
        with queue(tmp_path) as (jobs, studio):
            running, waiting = opened(jobs, 1), opened(jobs, 2)
            wait_until(lambda: running.status.frames > 0, "the first report")

        assert running.status.state is State.CANCELLED
        assert studio.began == [running]
        assert waiting.status.state is State.WAITING
        assert jobs.open(3) is None


def test_it_is_known_why_uploads_cannot_be_tracked(tmp_path: Path) -> None:
    with queue(tmp_path, HandStudio(ModelError("no weights at x.pt"))) as (jobs, _):
        wait_until(lambda: jobs.checked, "the check")
        assert jobs.refusal == "no weights at x.pt"

    with queue(tmp_path) as (jobs, _):
        wait_until(lambda: jobs.checked, "the check")
        assert jobs.refusal == ""


def test_pictures_are_counted_once_and_given_back_at_the_end(tmp_path: Path) -> None:
    job = Job(tmp_path, 1, 10.0)
    first, second = (np.full((2, 2, 3), tone, np.uint8) for tone in (1, 2))

    for pixels in (first, first, second):
        job.show(pixels)

    assert job.newest is not None
    assert job.newest[0] == 2
    assert job.newest[1] is second
    job.end(State.DONE)
    assert job.newest is None


def test_nobody_guesses_a_job(tmp_path: Path) -> None:
    ids = {Job(tmp_path, 1, 10.0).job_id for _ in range(50)}

    assert len(ids) == 50
    assert min(map(len, ids)) >= 22, "128 bits"
