"""The store on real SQLite files: opened by many, killed, locked, full, old, new and broken ones."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support.stores import batch_of, claimed, dump, make_run, open_file, tracked
from tests.support.waiting import Background, wait_until
from yolotrack.config import DatabaseSettings
from yolotrack.errors import StoreError
from yolotrack.model import Run
from yolotrack.store import migrations, schema, sqlite
from yolotrack.store.sql import open_store

pytestmark = pytest.mark.timeout(120)
REPOSITORY = Path(__file__).resolve().parents[2]
WITH_SUPPORT = "from tests.support.stores import *\nimport sys, pathlib\npath = pathlib.Path(sys.argv[1])\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's database goes."""
    return tmp_path / "tracks.db"


def start(code: str, path: Path, **options: object) -> subprocess.Popen[str]:
    """A process of its own that runs `code` on the database at `path`."""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def outcome_of(process: subprocess.Popen[str]) -> str:
    """What a process that must succeed printed."""
    output, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems
    return output.strip()


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    """The answer of SQLite itself."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


@contextmanager
def other_writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


# -- schema


def test_migrations_lead_to_the_schema_that_the_code_uses(path: Path, tmp_path: Path) -> None:
    open_file(path).close()
    fresh = tmp_path / "schema.db"
    engine = create_engine(f"sqlite:///{fresh}")
    schema.metadata.create_all(engine)
    engine.dispose()
    question = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    assert ask(path, question) == ask(fresh, question)


def test_migrations_are_recorded_and_taken_once(path: Path) -> None:
    open_file(path).close()
    before = ask(path, "SELECT version, name, applied_at FROM schema_migrations")
    assert [(version, name) for version, name, _ in before] == [(1, "0001_initial")]
    open_file(path).close()
    assert ask(path, "SELECT version, name, applied_at FROM schema_migrations") == before


def test_a_step_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(migrations.Migration):
        def upgrade(self, connection: Connection) -> None:
            connection.execute(text("CREATE TABLE half_way (n INTEGER)"))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    steps = (*migrations.migrations(), Broken(2, "0002_broken"))
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(StoreError, match="nowhere"):
        open_file(path)
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'half_way'") == []
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,)]
    monkeypatch.undo()
    open_file(path).close()


def test_a_newer_step_is_taken_on_a_database_with_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class AddColumn(migrations.Migration):
        def upgrade(self, connection: Connection) -> None:
            connection.execute(text("ALTER TABLE runs ADD COLUMN note TEXT"))

    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
        before = dump(store)
    steps = (*migrations.migrations(), AddColumn(2, "0002_note"))
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(StoreError, match=r"older yolotrack wrote it \(schema 1, this one reads 2\)"):
        open_file(path, read_only=True)
    with closing(open_file(path)) as store:
        assert dump(store) == before
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,)]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(path: Path, read_only: bool) -> None:
    open_file(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, '0999_later', 0)")
    with pytest.raises(StoreError, match=r"newer yolotrack wrote it \(schema 999, this one knows 1\): upgrade"):
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
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,)]


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


def test_names_with_signs_of_urls_name_their_file(tmp_path: Path) -> None:
    path = tmp_path / "100% of #1 é.db"
    with closing(open_file(path)) as store:
        store.start_run(make_run())
        assert len(list(store.runs())) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


def test_a_damaged_file_is_told(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(2000)]))
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = os.urandom(len(content) - 3 * 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path}: it is damaged"), closing(open_file(path)) as store:
        dump(store)


def test_a_read_only_file_can_be_read_and_is_not_written(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
    path.chmod(0o444)
    for folder in (path.parent, *path.parent.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"  # root writes to anything
        "try: open_file(path); print('written')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    assert outcome_of(start(WITH_SUPPORT + code, path)) == (
        f"StoreError cannot use {path}: it is read-only: make file and folder writable, or name another with --db"
    )


# -- locks


def test_a_writer_waits_for_another(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        with other_writer(path) as other:
            commit = Background(lambda: store.commit(claim, batch_of([tracked(run, 0)])))
            wait_until(store._writing_lock.locked, "the commit to begin")
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
            with pytest.raises(StoreError, match=rf"{path}: another process keeps it locked: end that one"):
                store.commit(claim, batch_of([tracked(run, 0)]))
            with pytest.raises(StoreError, match="another process keeps it locked"):
                open_file(path)
        store.commit(claim, batch_of([tracked(run, 0)]))
        assert store.find_run(run.run_id).ledger.tracked == 1


def test_the_writing_connection_is_durable(path: Path) -> None:
    engine = sqlite.writing_engine(path)
    with engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()
    assert pragmas == ["wal", 2, 1]


# -- a full disk


def test_a_full_disk_is_told_and_leaves_nothing_half_written(path: Path) -> None:
    code = """
import resource, os
from yolotrack.errors import StoreError
store, run = open_file(path), make_run()
claim = claimed(store, run)
store.commit(claim, batch_of([tracked(run, index) for index in range(20)], b"before"))
before = dump(store)
size = os.path.getsize(f"{path}-wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
try:
    store.commit(claim, batch_of([tracked(run, index) for index in range(20, 3000)], b"after"))
except StoreError as error:
    print(error)
assert dump(store) == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.commit(claim, batch_of([tracked(run, index) for index in range(20, 3000)], b"after"))
assert store.find_run("latest").ledger.tracked == 3000
assert store.claim(run.run_id).checkpoint.tracker_state == b"after"
"""
    told = outcome_of(start(WITH_SUPPORT + code, path))
    assert told.startswith(f"cannot use {path}: ")
    assert "make room" in told
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


# -- kill -9

COMMITS_FOR_EVER = """
store = open_file(path)
if not list(store.runs()): store.start_run(make_run())
record = store.find_run("latest")
claim = store.claim(record.run.run_id)
index = claim.checkpoint.next_index
while True:
    frames = [(lost if i % 10 == 9 else tracked)(record.run, i) for i in range(index, index + 8)]
    store.commit(claim, batch_of(frames, str(index + 8).encode()))
    index += 8
    print(index, flush=True)
"""


def kill_after(process: subprocess.Popen[str], commits: int) -> int:
    """SIGKILL after that many commits were reported; the last one that was."""
    assert process.stdout is not None
    for _ in range(commits):
        assert process.stdout.readline(), process.stderr and process.stderr.read()
    process.send_signal(signal.SIGKILL)
    lines = process.communicate(timeout=30)[0].split()
    assert process.returncode == -signal.SIGKILL
    return int(lines[-1]) if lines else 0


def test_a_killed_writer_leaves_whole_commits_and_all_that_it_reported(path: Path) -> None:
    for commits in (3, 40):
        reported = kill_after(start(WITH_SUPPORT + COMMITS_FOR_EVER, path), commits)
        assert path.with_name("tracks.db-wal").stat().st_size > 0, "killed with its log not yet in the database"
        with closing(open_file(path, read_only=True)) as store:
            assert_whole(store.find_run("latest").run, path, reported)
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


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
        assert [frame.index for frame in store.lost_frames(run.run_id)] == failed
        expected = [(index, track) for index in range(count) if index % 10 != 9 for track in (1, 2)]
        assert [(row.frame, row.track_id) for row in store.observations(run.run_id)] == expected
        assert [track.observations for track in store.tracks(run.run_id)] == [ledger.tracked] * 2


# -- size


def test_rows_are_read_in_flat_memory(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        for begin in range(0, 2000, 1000):
            store.commit(claim, batch_of([tracked(run, i, ids=range(1, 11)) for i in range(begin, begin + 1000)]))
        tracemalloc.start()
        try:
            assert sum(1 for _ in store.observations(run.run_id)) == 20_000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 3_000_000, "all rows at once take more than 10 MB"


@pytest.mark.parametrize("tracks", [(7,), (3, 7, 9)])
def test_tracks_are_found_through_their_index(
    path: Path, tracks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    begin_by_hand = sqlite._begin_by_hand

    def also_trace(connection: sqlite3.Connection, record: object) -> None:
        begin_by_hand(connection, record)
        connection.set_trace_callback(asked.append)

    monkeypatch.setattr(sqlite, "_begin_by_hand", also_trace)
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0, ids=range(1, 11))]))
        assert len(list(store.observations(run.run_id, track_ids=tracks))) == len(tracks)
    [question] = [sql for sql in asked if "FROM observations" in sql]
    plan = str(ask(path, f"EXPLAIN QUERY PLAN {question}"))
    assert "observations_by_track (run=? AND track=?)" in plan
