"""`yolotrack db end`: a run that nobody finishes, ended by hand; and `db runs` says which stand still."""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.stores import batch_of, claimed, make_run, open_file, tracked
from tests.support.three_runs import FIRST, LATEST, Asking, write_three_runs
from yolotrack.errors import Fenced
from yolotrack.model import RunStatus, utc_now

command = importlib.import_module("yolotrack.cli.db.runs")


@pytest.fixture
def db(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asking:
    """`yolotrack db ...` on three runs: complete, interrupted, and one that runs."""
    return Asking(write_three_runs(tmp_path / "tracks.db"), capsys)


@pytest.mark.parametrize("name", [LATEST, LATEST[:30], "latest"])
def test_a_running_run_is_interrupted_and_balances(db: Asking, name: str) -> None:
    answer = db("end", name)
    assert (answer.code, answer.out) == (0, f"{LATEST}\n")
    (row,) = [row for row in db("runs").rows if row["run_id"] == LATEST]
    assert (row["status"], row["in_flight"]) == ("interrupted", "0")
    assert answer.err == f"ended as interrupted, with {row['published']} frames\n"
    assert LATEST in db("prune", "--keep-runs", "0", "--yes").out, "it can be forgotten now"


def test_what_has_ended_is_left_as_it_is(db: Asking) -> None:
    before = db("runs").out
    answer = db("end", FIRST)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"error: run {FIRST} has ended already: it is complete\n"
    assert db("runs").out == before


def test_who_still_writes_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tracks.db"
    with closing(open_file(path)) as store:
        run = make_run()
        claim = claimed(store, run)
        store.commit(claim, batch_of([tracked(run, 0)]))
        assert Asking(path, capsys)("end", "latest").code == 0
        with pytest.raises(Fenced):
            store.commit(claim, batch_of([tracked(run, 1)]))
        (record,) = store.runs()
        assert (record.status, record.ledger.published, record.ledger.tracked) == (RunStatus.INTERRUPTED, 1, 1)


def test_a_run_that_stands_still_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tracks.db"
    with closing(open_file(path)) as store:
        run = make_run()
        before = utc_now()
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
        (record,) = store.runs()
    assert record.last_outcome_at is not None
    assert before <= record.last_outcome_at <= utc_now()
    monkeypatch.setattr(command, "utc_now", lambda: record.last_outcome_at + timedelta(seconds=59))
    assert "still" not in Asking(path, capsys)("runs", "--format", "table").out
    monkeypatch.setattr(command, "utc_now", lambda: record.last_outcome_at + timedelta(seconds=312))
    assert "still\nfor 0:05:12.0" in command._status_text(record)
    assert "for 0:05:12" in Asking(path, capsys)("runs", "--format", "table").out
    (row,) = json.loads(Asking(path, capsys)("runs", "--format", "json").out)
    assert row["last_outcome_at"].startswith(f"{record.last_outcome_at:%Y-%m-%d}")
