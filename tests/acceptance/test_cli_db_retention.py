"""`yolotrack db prune` and `yolotrack db vacuum`: what goes, what stays, and that nothing goes unasked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.stores import BEGIN, batch_of, claimed, make_run, open_file, tracked
from tests.support.three_runs import FIRST, LATEST, SECOND, Asking, write_three_runs
from yolotrack.cli.db.retention import doomed
from yolotrack.cli.db.runs import Line
from yolotrack.model import RunStatus


@pytest.fixture
def db(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asking:
    """`yolotrack db ...` on three runs: complete, interrupted, and one that runs."""
    return Asking(write_three_runs(tmp_path / "tracks.db"), capsys)


def there(db: Asking) -> list[str]:
    """Runs that are left."""
    return [row["run_id"] for row in db("runs").rows]


def test_runs_are_forgotten_with_all_of_theirs(db: Asking) -> None:
    answer = db("prune", "--keep-runs", "0", "--yes")
    assert (answer.code, answer.out) == (0, f"{FIRST}\n{SECOND}\n")
    assert answer.err == "forgot 2 runs; `yolotrack db vacuum` gives their room back to the disk\n"
    assert there(db) == [LATEST], "which still runs"
    assert {row["run_id"] for row in db("query", "--run", "all").rows} == {LATEST}


def test_a_dry_run_only_lists(db: Asking) -> None:
    answer = db("prune", "--older-than", "0s", "--dry-run")
    assert (answer.code, answer.out, answer.err) == (0, f"{FIRST}\n{SECOND}\n", "")
    assert there(db) == [FIRST, SECOND, LATEST]


def test_the_newest_of_each_stream_are_kept(db: Asking) -> None:
    assert db("prune", "--keep-runs", "1", "--dry-run").out == f"{FIRST}\n", "newer is the one that runs"
    assert db("prune", "--keep-runs", "0", "--stream", "gate-north", "--dry-run").out == f"{SECOND}\n"
    answer = db("prune", "--keep-runs", "2", "--yes")
    assert (answer.code, answer.out, answer.err) == (0, "", "nothing to forget\n")


def test_nobody_to_ask_is_a_refusal(db: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    answer = db("prune", "--keep-runs", "0")
    assert (answer.code, answer.out) == (2, "")
    assert "say --yes" in answer.err
    assert len(there(db)) == 3


@pytest.mark.parametrize(("said", "left"), [("y\n", [LATEST]), ("n\n", [FIRST, SECOND, LATEST])])
def test_a_terminal_is_asked(db: Asking, monkeypatch: pytest.MonkeyPatch, said: str, left: list[str]) -> None:
    terminal = io.StringIO(said)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    answer = db("prune", "--keep-runs", "0")
    assert "forget 2 runs?" in answer.err
    assert answer.code == (0 if said == "y\n" else 130)
    assert there(db) == left


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ((), 2, "say what goes"),
        (("--older-than", "soon", "--yes"), 2, "'soon' is no age"),
        (("--keep-runs", "-1", "--yes"), 2, "--keep-runs"),
        (("--keep-runs", "0", "--stream", "gate-nroth", "--yes"), 1, "did you mean gate-north?"),
    ],
)
def test_what_makes_no_sense_forgets_nothing(db: Asking, wrong: tuple[str, ...], code: int, said: str) -> None:
    answer = db("prune", *wrong)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (code, "", 1)
    assert said in answer.err
    assert len(there(db)) == 3


def test_room_goes_back_to_the_disk(db: Asking) -> None:
    with closing(open_file(db.path)) as store:
        run = make_run("long")
        claim = claimed(store, run)
        store.commit(claim, batch_of([tracked(run, index, range(1, 41)) for index in range(500)]))
        store.end_run(claim, RunStatus.COMPLETE, 500)
    before = db.path.stat().st_size
    assert db("prune", "--stream", "long", "--keep-runs", "0", "--yes").code == 0
    answer = db("vacuum")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(" now\n")
    assert db.path.stat().st_size < before / 2
    assert len(db("query", "--run", FIRST).rows) == 49 * 3


@pytest.mark.parametrize("command", [("prune", "--keep-runs", "0", "--yes"), ("vacuum",)])
def test_a_missing_database_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Sequence[str]
) -> None:
    answer = Asking(tmp_path / "none.db", capsys)(*command)
    assert (answer.code, answer.out) == (1, "")
    assert "no database at" in answer.err
    assert not list(tmp_path.iterdir())


def _lines(db: Asking, ends: dict[str, int | None]) -> list[Line]:
    """Runs of one stream that ended so many days after `BEGIN`."""
    with closing(open_file(db.path, read_only=True)) as store:
        record = store.find_run(FIRST)
    return [
        Line(
            replace(
                record,
                run=replace(record.run, run_id=name),
                ended_at=None if day is None else BEGIN + timedelta(days=day),
            ),
            0,
            0,
        )
        for name, day in ends.items()
    ]


@pytest.mark.parametrize(
    ("age", "keep", "goes"),
    [
        (30, None, ["a", "b"]),
        (None, 2, ["a", "b", "c"]),
        (30, 2, ["a", "b"]),
        (30, 4, ["a"]),
        (None, 0, ["a", "b", "c", "e"]),
        (None, 5, []),
    ],
)
def test_what_goes_is_old_and_not_among_the_newest(
    db: Asking, age: int | None, keep: int | None, goes: list[str]
) -> None:
    lines = _lines(db, {"a": 1, "b": 10, "c": 50, "d": None, "e": 60})
    old = None if age is None else timedelta(days=age)
    found = doomed(lines, BEGIN + timedelta(days=70), old, keep)
    assert [line.record.run.run_id for line in found] == goes
