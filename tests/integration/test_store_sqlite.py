"""The store on real SQLite files: opened by many, locked, read-only and broken ones, and asked in good order."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.stores import (
    WITH_SUPPORT,
    ask,
    batch_of,
    claimed,
    dump,
    make_run,
    open_file,
    outcome_of,
    settings_of,
    start,
    tracked,
)
from tests.support.waiting import Background, wait_until
from yolotrack.config import DatabaseSettings
from yolotrack.errors import StoreAway, StoreError
from yolotrack.model import RunStatus
from yolotrack.store import sqlite
from yolotrack.store.sql import open_existing, open_store

pytestmark = pytest.mark.timeout(120)


@contextmanager
def other_writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


# -- opening


def test_reading_creates_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match=rf"no database at {path}: .*--db"):
        open_file(path, read_only=True)
    assert list(path.parent.iterdir()) == []


def test_reading_an_empty_file_is_refused_and_leaves_it_empty(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match=rf"{path}: it holds no tracks"):
        open_file(path, read_only=True)
    assert path.stat().st_size == 0


def test_what_is_to_be_there_is_not_made_for_writing_either(path: Path) -> None:
    with pytest.raises(StoreError, match=rf"no database at {path}: .*--db"):
        open_existing(settings_of(path))
    assert list(path.parent.iterdir()) == []
    path.touch()
    with pytest.raises(StoreError, match=rf"{path}: it holds no tracks"):
        open_existing(settings_of(path))
    assert path.stat().st_size == 0
    open_file(path).close()
    with closing(open_existing(settings_of(path))) as store:
        store.start_run(make_run())


def test_a_store_for_reading_refuses_to_write(path: Path) -> None:
    open_file(path).close()
    with (
        closing(open_file(path, read_only=True)) as store,
        pytest.raises(StoreError, match=rf"{path}: it was opened for reading only"),
    ):
        store.start_run(make_run())


def test_a_reading_connection_cannot_write(path: Path) -> None:
    open_file(path).close()
    engine = sqlite.reading_engine(path)
    with engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM runs")
    engine.dispose()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    content = b"not a database, but a letter to somebody\n" * 100
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path}: it is not a SQLite database: name another"):
        open_file(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_is_refused(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(StoreError, match="it is a folder"):
        open_file(tmp_path, read_only=read_only)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"the folder {tmp_path / 'nowhere'} does not exist: create it"):
        open_file(tmp_path / "nowhere" / "tracks.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///", "sqlite:///x.db?mode=memory"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="write sqlite:///FILE"):
        open_store(DatabaseSettings(url=url))


def test_another_database_is_refused_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"'mysql://me:\*\*\*@host/tracks' is not supported") as told:
        open_store(DatabaseSettings(url="mysql://me:s3cret@host/tracks"))
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("name", ["100% of #1 é.db", "what?.db", "what?/so?", "?", "a&b?c;d+e f.db", "x.db?"])
def test_names_with_signs_of_urls_name_their_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with closing(open_file(path)) as store:
        store.start_run(make_run())
        assert len(list(store.runs())) == 1
        assert open_file(path, read_only=True).find_run("latest")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}-lock"]


def test_a_damaged_file_is_told(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(2000)]))
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = os.urandom(len(content) - 3 * 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path}: it is damaged"), closing(open_file(path)) as store:
        dump(store)


@pytest.fixture
def public() -> Iterator[Path]:
    """A database of one frame, of root or whoever runs the tests, where every user gets to: pytest's own folders
    are shut again whenever another session of it begins."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve() / "tracks.db"
        with closing(open_file(path)) as store:
            store.commit(claimed(store, run := make_run()), batch_of([tracked(run, 0)]))
        path.parent.chmod(0o755)
        yield path
        path.parent.chmod(0o700)


@pytest.mark.parametrize("lock_file", [True, False])
def test_a_read_only_file_is_not_written(public: Path, lock_file: bool) -> None:
    public.chmod(0o444)
    with_lock = public.with_name("tracks.db-lock")
    if not lock_file:
        with_lock.unlink()
    assert opened_by_somebody(public, read_only=False) == (
        f"StoreError cannot use {public}: it is read-only: make file and folder writable, or name another with --db"
    )
    assert with_lock.exists() == lock_file


def test_a_folder_that_cannot_be_written_to(public: Path) -> None:
    """SQLite makes files beside a database in WAL mode even to read it; while another has them open, all is well."""
    public.chmod(0o666)
    public.parent.chmod(0o555)
    assert opened_by_somebody(public, read_only=True) == (
        f"StoreError cannot use {public}: its folder is read-only, and even to read it SQLite keeps a log there: "
        "make the folder writable, or copy the file and name the copy with --db"
    )
    if os.getuid() == 0:  # else nobody here could make them
        with closing(sqlite3.connect(public)) as other:
            other.execute("SELECT * FROM runs").fetchall()
            assert opened_by_somebody(public, read_only=True) == "2"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_that_cannot_be_entered(public: Path, read_only: bool) -> None:
    public.parent.chmod(0o600)
    assert opened_by_somebody(public, read_only=read_only) == (
        f"StoreError cannot use {public}: it cannot be opened: look at the permissions of file and folder, "
        "or name another with --db"
    )


def opened_by_somebody(path: Path, *, read_only: bool) -> str:
    """How many observations a user without rights finds, or what they are told."""
    code = (
        "import os, yolotrack.store.sqlite\n"  # now, while this user may read the installation
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"  # root writes to anything
        "try:\n"
        f"    store = open_file(path, read_only={read_only})\n"
        "    print(sum(1 for run in store.runs() for _ in store.observations(run.run.run_id)))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    return outcome_of(start(WITH_SUPPORT + code, path))


# -- locks


def test_a_writer_waits_for_another(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        with other_writer(path) as other:
            commit = Background(lambda: store.commit(claim, batch_of([tracked(run, 0)])))
            wait_until(store._database._writing.locked, "the commit to begin")
            assert list(store.observations(run.run_id)) == [], "readers do not wait"
            assert commit.running
            other.execute("ROLLBACK")
            commit.result()
        assert len(list(store.observations(run.run_id))) == 2


def test_a_database_that_stays_locked_is_told_and_nothing_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        with other_writer(path):
            with pytest.raises(StoreAway, match=rf"{path}: another process keeps it locked: end that one"):
                store.commit(claim, batch_of([tracked(run, 0)]))
            with pytest.raises(StoreAway, match="another process keeps it locked"):
                open_file(path)
        store.commit(claim, batch_of([tracked(run, 0)]))
        assert store.find_run(run.run_id).ledger.tracked == 1


def test_writers_take_turns_at_one_lock_under_any_name_of_the_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own lock is free here: what keeps the second out is ours."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    run = make_run()
    (tmp_path / "alias.db").symlink_to(path)
    with closing(open_file(path)) as store, closing(open_file(tmp_path / "alias.db")) as alias:
        claim = claimed(store, run)
        with alias._alone():
            with pytest.raises(StoreAway, match=rf"{path}: another process keeps it locked: end that one"):
                store.commit(claim, batch_of([tracked(run, 0)]))
            assert list(store.observations(run.run_id)) == [], "readers do not wait"
        store.commit(claim, batch_of([tracked(run, 0)]))
        assert store.find_run(run.run_id).ledger.tracked == 1


def test_a_writer_killed_in_its_transaction_holds_nobody_up(path: Path) -> None:
    code = """
store = open_file(path)
claim = claimed(store, make_run(run_id="killed"))
store.spill(claim, {7: b"seven", 5: b"five"})
with store._writing() as connection:
    connection.exec_driver_sql("DELETE FROM spilled")
    print("inside", flush=True)
    sys.stdin.readline()
"""
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        process = start(WITH_SUPPORT + code, path, stdin=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        commit = Background(lambda: store.commit(claim, batch_of([tracked(run, 0)])))
        wait_until(store._database._writing.locked, "the commit to begin")
        assert commit.running
        process.kill()
        commit.result()
        process.communicate(timeout=30)
        assert store.find_run(run.run_id).ledger.tracked == 1
        assert store.claim("killed").spilled == (b"five", b"seven")


def test_the_writing_connection_is_durable(path: Path) -> None:
    engine = sqlite.writing_engine(path)
    with engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()
    assert pragmas == ["wal", 2, 1]


# -- plans


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite executes for stores opened from now on."""
    statements: list[str] = []
    begin_by_hand = sqlite._begin_by_hand

    def also_trace(connection: sqlite3.Connection, record: object) -> None:
        begin_by_hand(connection, record)
        connection.set_trace_callback(statements.append)

    monkeypatch.setattr(sqlite, "_begin_by_hand", also_trace)
    return statements


def plan_of(path: Path, statements: list[str], words: str) -> str:
    """How SQLite goes about the one statement with those words."""
    [statement] = [sql for sql in statements if words in sql]
    return str([detail for *_, detail in ask(path, f"EXPLAIN QUERY PLAN {statement}")])


@pytest.mark.parametrize("tracks", [(7,), (3, 7, 9)])
def test_tracks_are_found_through_their_index(path: Path, tracks: tuple[int, ...], asked: list[str]) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0, ids=range(1, 11))]))
        assert len(list(store.observations(run.run_id, track_ids=tracks))) == len(tracks)
    assert "observations_by_track (run=? AND track=?)" in plan_of(path, asked, "FROM observations JOIN frames")


def test_runs_of_one_status_cost_nothing_for_the_others(path: Path, asked: list[str]) -> None:
    with closing(open_file(path)) as store:
        store.start_run(make_run())
        assert len(list(store.runs(RunStatus.RUNNING))) == 1
    plan = plan_of(path, asked, "ORDER BY runs.started_at")
    assert "SEARCH runs USING INDEX runs_by_status (status=?)" in plan
    assert "SEARCH tracks USING PRIMARY KEY (run=?)" in plan
    assert "SCAN" not in plan.replace("SCALAR", "")
    assert "TEMP B-TREE FOR ORDER BY" not in plan


def test_outcomes_are_read_in_the_order_they_are_kept(path: Path, asked: list[str]) -> None:
    with closing(open_file(path)) as store:
        run = make_run()
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
        assert len(list(store.outcomes(run.run_id, (0, 9)))) == 1
    plan = plan_of(path, asked, "LEFT OUTER JOIN failures")
    assert "SEARCH frames USING PRIMARY KEY (run=? AND frame>? AND frame<?)" in plan
    assert "TEMP B-TREE" not in plan
