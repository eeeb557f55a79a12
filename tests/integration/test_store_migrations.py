"""Databases of older versions and newer ones, and how they are brought up to date."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from tests.support.stores import (
    ask,
    batch_of,
    claimed,
    dump,
    lost,
    make_run,
    open_file,
    outcome_of,
    start,
    wandering,
)
from yolotrack.errors import StoreError
from yolotrack.model import FrameTracks, Ledger, Run, RunStatus
from yolotrack.store import migrations, schema
from yolotrack.store.base import Checkpoint
from yolotrack.store.sql import SQLStore

pytestmark = pytest.mark.timeout(120)
FIXTURES = Path(__file__).parents[1] / "fixtures"


def worded(path: Path, question: str) -> list[tuple[str, ...]]:
    """The answer without its line breaks: a column that was added later is written behind the others."""
    return [tuple(re.sub(r"\s*([,()])\s*|\s+", r"\1 ", str(value)) for value in row) for row in ask(path, question)]


def test_migrations_lead_to_the_schema_that_the_code_uses(path: Path, tmp_path: Path) -> None:
    open_file(path).close()
    fresh = tmp_path / "schema.db"
    engine = create_engine(f"sqlite:///{fresh}")
    schema.metadata.create_all(engine)
    engine.dispose()
    question = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type != 'view' ORDER BY type, name"
    assert worded(path, question) == worded(fresh, question)


def test_migrations_are_recorded_and_taken_once(path: Path) -> None:
    open_file(path).close()
    before = ask(path, "SELECT version, name, applied_at FROM schema_migrations")
    names = ["0001_initial", "0002_spilled", "0003_paths_and_views", "0004_last_outcome"]
    assert [(version, name) for version, name, _ in before] == list(enumerate(names, start=1))
    open_file(path).close()
    assert ask(path, "SELECT version, name, applied_at FROM schema_migrations") == before


def test_a_step_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(migrations.Migration):
        def upgrade(self, connection: Connection) -> None:
            connection.execute(text("CREATE TABLE half_way (n INTEGER)"))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    steps = (*migrations.migrations(), Broken(5, "0005_broken"))
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(StoreError, match="nowhere"):
        open_file(path)
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'half_way'") == []
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,), (3,), (4,)]
    monkeypatch.undo()
    open_file(path).close()


def test_a_database_of_the_first_schema_is_brought_up_to_date(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = migrations.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: steps[:1])
        open_file(path).close()
    run = make_run()
    with closing(open_file(tmp_path / "model.db")) as model:
        model.commit(claimed(model, run), batch_of([wandering(run, 0), lost(run, 1), wandering(run, 2)], b"state"))
        before = dump(model)
    fill(path, tmp_path / "model.db")
    with pytest.raises(StoreError, match=r"\(schema 1, this one reads 4\): the next command that writes .* up to date"):
        open_file(path, read_only=True)
    with closing(open_file(path)) as store:
        assert dump(store) == before
        claim = store.claim(run.run_id)
        assert (claim.checkpoint.tracker_state, claim.spilled) == (b"state", ())
        store.spill(claim, {4: b"four"})
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,), (3,), (4,)]


def test_a_database_that_an_older_yolotrack_wrote_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    """The file is one that yolotrack of schema 2 wrote: four runs of three streams, in every state."""
    path.write_bytes((FIXTURES / "schema-2.db").read_bytes())
    before = tables_in(path)
    with pytest.raises(StoreError, match=r"\(schema 2, this one reads 4\): the next command that writes .* up to date"):
        open_file(path, read_only=True)
    assert tables_in(path) == before
    with closing(open_file(path)) as store, closing(open_file(tmp_path / "again.db")) as again:
        after = tables_in(path)
        assert {name: _as_before(name, rows) for name, rows in after.items() if name in before} == before
        for record in store.runs():
            commit_again(again, record.run, list(store.outcomes(record.run.run_id)))
        told, expected = ([list(one.tracks(run.run.run_id)) for run in store.runs()] for one in (store, again))
        assert told == expected, "paths are what commits would have made them"
        assert [len(tracks) for tracks in told] == [4, 2, 2, 0]
        gate = told[0][0]
        assert (gate.class_name, gate.observations, gate.first_frame, gate.last_frame) == ("car", 36, 0, 39)
        ended = [record.status for record in store.runs()]
        assert ended == [RunStatus.COMPLETE, RunStatus.INTERRUPTED, RunStatus.RUNNING, RunStatus.RUNNING]
        assert store.find_run("latest", stream="gate").ledger == Ledger(11, 6, 0, 0)
        claim = store.claim("019b7a00-0000-7000-8000-000000000003")
        assert (claim.checkpoint, claim.spilled) == (Checkpoint(6, 0, b"\x00state\xff"), (b"seven", b"nine"))
        store.commit(claim, batch_of([wandering(claim.record.run, 6)]))
        assert max(track.last_frame for track in store.tracks(claim.run_id)) == 6
    with closing(open_file(path, read_only=True)) as store:
        assert len(list(store.runs())) == 4


def _as_before(name: object, rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Rows without the column that a later step added."""
    assert name != "runs" or {row[-1] for row in rows} == {None}
    return [row[:-1] if name == "runs" else row for row in rows]


def commit_again(store: SQLStore, run: Run, frames: list[FrameTracks]) -> None:
    """Put what a store told of a run into another one."""
    claim = claimed(store, run)
    if frames:
        store.commit(claim, batch_of(frames))


def tables_in(path: Path) -> dict[object, list[tuple[object, ...]]]:
    """Every row of every table of ours, but for the record of migrations."""
    names = ask(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ours = [str(name) for (name,) in names if not str(name).startswith(("sqlite_", "schema_"))]
    return {name: ask(path, f"SELECT * FROM {name}") for name in ours}  # noqa: S608


def fill(path: Path, other: Path) -> None:
    """Copy all rows of the tables that a database has from another one."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            if not name.startswith(("sqlite_", "schema_")):
                columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({name})"))
                copy = f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM other.{name}"  # noqa: S608
                connection.execute(copy)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(path: Path, read_only: bool) -> None:
    open_file(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, '0999_later', 0)")
    with pytest.raises(StoreError, match=r"newer yolotrack wrote it \(schema 999, this one knows 4\): upgrade"):
        open_file(path, read_only=read_only)


def test_processes_may_open_a_new_database_at_once(path: Path) -> None:
    code = (
        "import sys\nfrom yolotrack.config import DatabaseSettings\nfrom yolotrack.store.sql import open_store\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "open_store(DatabaseSettings(url=f'sqlite:///{sys.argv[1]}')).close()\n"
    )
    processes = [start(code, path, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outcome_of(process)
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,), (3,), (4,)]
