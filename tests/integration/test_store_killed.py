"""Processes that write to a SQLite file, and are killed."""

from __future__ import annotations

import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stores import (
    WITH_SUPPORT,
    ask,
    batch_of,
    claimed,
    dump,
    make_run,
    open_file,
    start,
    tracked,
)
from yolotrack.model import Ledger, Outcome, Run, RunStatus

pytestmark = pytest.mark.timeout(120)


COMMITS_FOR_EVER = """
store = open_file(path)
store.start_run(make_run(run_id=name))
claim = store.claim(name)
run, index = claim.record.run, claim.checkpoint.next_index
while True:
    frames = [(lost if i % 10 == 9 else tracked)(run, i) for i in range(index, index + 8)]
    store.commit(claim, batch_of(frames, str(index + 8).encode()))
    index += 8
    print(index, flush=True)
"""


def commit_for_ever(name: str, path: Path) -> subprocess.Popen[str]:
    """A process that commits frames of run `name` and prints how many there are, until it is killed."""
    return start(f"name = {name!r}\n{WITH_SUPPORT}{COMMITS_FOR_EVER}", path)


def wait_for_commits(process: subprocess.Popen[str], frames: int) -> None:
    """Return once it reported that many."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= frames:
            return
    pytest.fail(f"ended early: {process.communicate()[1]}")


def kill(process: subprocess.Popen[str]) -> int:
    """SIGKILL; the last frame count it reported and nobody read yet."""
    process.kill()
    lines = process.communicate(timeout=30)[0].splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL
    return max((int(line) for line in lines if line.endswith("\n")), default=0)


def test_a_killed_writer_leaves_whole_commits_and_all_that_it_reported(path: Path) -> None:
    for frames in (3 * 8, 43 * 8):
        process = commit_for_ever("run", path)
        wait_for_commits(process, frames)
        reported = max(frames, kill(process))
        assert path.with_name("tracks.db-wal").stat().st_size > 0, "killed with its log not yet in the database"
        with closing(open_file(path, read_only=True)) as store:
            assert_whole(store.find_run("run").run, path, reported)
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_two_processes_write_two_runs_and_one_is_killed(path: Path) -> None:
    one, two = (commit_for_ever(name, path) for name in ("one", "two"))
    for process in (one, two):
        wait_for_commits(process, 10 * 8)
    reported = {"one": max(10 * 8, kill(one))}
    with closing(open_file(path, read_only=True)) as store:
        goal = store.find_run("two").ledger.published + 40 * 8
    wait_for_commits(two, goal)
    reported["two"] = max(goal, kill(two))
    for name, count in reported.items():
        with closing(open_file(path)) as store:
            assert_whole(store.find_run(name).run, path, count)
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_killed_pruning_is_finished_by_the_next(path: Path) -> None:
    code = """
from yolotrack.store import pruning, sql
pruning._ROWS_AT_ONCE = 200
prune_part = sql.prune_part
def told(connection, number):
    print("part", flush=True)
    return prune_part(connection, number)
sql.prune_part = told
open_file(path).prune(["gone"])
"""
    runs = [make_run(run_id=name) for name in ("gone", "kept")]
    with closing(open_file(path)) as store:
        for run in runs:
            store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(2000)]))
            store.end_run(store.claim(run.run_id), RunStatus.COMPLETE, 2000)
        kept = dump(store)[1:]
    process = start(WITH_SUPPORT + code, path)
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == "part\n"
    kill_now(process)
    with closing(open_file(path)) as store:
        half = store.find_run("gone")
        assert (half.status, half.ledger) == (RunStatus.INTERRUPTED, Ledger(0, 0, 0, 0))
        assert dump(store)[1:] == kept
        store.prune(["never there"])
        assert dump(store) == kept
    assert ask(path, "PRAGMA foreign_key_check") == []
    assert ask(path, "SELECT DISTINCT run FROM frames UNION SELECT DISTINCT run FROM observations") == [(2,)]


def kill_now(process: subprocess.Popen[str]) -> None:
    """SIGKILL, which must have come in time."""
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def assert_whole(run: Run, path: Path, reported: int) -> None:
    """Ledger, rows, sums and checkpoint tell of the same frames, the reported ones among them."""
    with closing(open_file(path)) as store:
        checkpoint = store.claim(run.run_id).checkpoint
        count = checkpoint.next_index
        assert count >= reported
        assert checkpoint.tracker_state == str(count).encode()
        failed = [index for index in range(count) if index % 10 == 9]
        ledger = store.find_run(run.run_id).ledger
        assert (ledger.published, ledger.tracked, ledger.failed) == (count, count - len(failed), len(failed))
        outcomes = [(frame.index, frame.outcome is Outcome.FAILED) for frame in store.outcomes(run.run_id)]
        assert outcomes == [(index, index in failed) for index in range(count)]
        expected = [(index, track) for index in range(count) if index % 10 != 9 for track in (1, 2)]
        assert [(row.frame, row.track_id) for row in store.observations(run.run_id)] == expected
        assert [track.observations for track in store.tracks(run.run_id)] == [ledger.tracked] * 2
