"""The store on real SQLite files: opened by many, killed, locked, full, old, new and broken ones."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support.stores import batch_of, claimed, dump, lost, make_run, open_file, tracked
from tests.support.waiting import Background, wait_until
from yolotrack.config import DatabaseSettings
from yolotrack.errors import StoreError
from yolotrack.model import Outcome, Run, RunStatus
from yolotrack.store import migrations, schema, sqlite
from yolotrack.store.sql import SQLStore, open_store

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
    assert [(version, name) for version, name, _ in before] == [(1, "0001_initial"), (2, "0002_spilled")]
    open_file(path).close()
    assert ask(path, "SELECT version, name, applied_at FROM schema_migrations") == before


def test_a_step_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(migrations.Migration):
        def upgrade(self, connection: Connection) -> None:
            connection.execute(text("CREATE TABLE half_way (n INTEGER)"))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    steps = (*migrations.migrations(), Broken(3, "0003_broken"))
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(StoreError, match="nowhere"):
        open_file(path)
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'half_way'") == []
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,)]
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
        model.commit(claimed(model, run), batch_of([tracked(run, 0), lost(run, 1), tracked(run, 2)], b"state"))
        before = dump(model)
    fill(path, tmp_path / "model.db")
    with pytest.raises(StoreError, match=r"\(schema 1, this one reads 2\): the next command that writes .* up to date"):
        open_file(path, read_only=True)
    with closing(open_file(path)) as store:
        assert dump(store) == before
        claim = store.claim(run.run_id)
        assert (claim.checkpoint.tracker_state, claim.spilled) == (b"state", ())
        store.spill(claim, {4: b"four"})
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,)]


def fill(path: Path, other: Path) -> None:
    """Copy all rows of the tables that a database has from another one."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            if not name.startswith(("sqlite_", "schema_")):
                connection.execute(f"INSERT INTO main.{name} SELECT * FROM other.{name}")  # noqa: S608


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(path: Path, read_only: bool) -> None:
    open_file(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, '0999_later', 0)")
    with pytest.raises(StoreError, match=r"newer yolotrack wrote it \(schema 999, this one knows 2\): upgrade"):
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
    assert ask(path, "SELECT version FROM schema_migrations") == [(1,), (2,)]


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
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, f"{path.name}-lock"]


def test_a_damaged_file_is_told(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(2000)]))
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = os.urandom(len(content) - 3 * 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path}: it is damaged"), closing(open_file(path)) as store:
        dump(store)


@pytest.mark.parametrize("lock_file", [True, False])
def test_a_read_only_file_can_be_read_and_is_not_written(path: Path, lock_file: bool) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
    path.chmod(0o444)
    if not lock_file:
        path.with_name("tracks.db-lock").unlink()
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
            with pytest.raises(StoreError, match=rf"{path}: another process keeps it locked: end that one"):
                store.commit(claim, batch_of([tracked(run, 0)]))
            with pytest.raises(StoreError, match="another process keeps it locked"):
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
            with pytest.raises(StoreError, match=rf"{path}: another process keeps it locked: end that one"):
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


# -- size


@pytest.mark.parametrize(("read", "count"), [(SQLStore.observations, 20_000), (SQLStore.outcomes, 2000)])
def test_rows_are_read_in_flat_memory(
    path: Path, read: Callable[[SQLStore, str], Iterator[object]], count: int
) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        for begin in range(0, 2000, 1000):
            store.commit(claim, batch_of([tracked(run, i, ids=range(1, 11)) for i in range(begin, begin + 1000)]))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read(store, run.run_id)) == count
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 3_000_000, "all rows at once take more"


def test_what_was_spilled_does_not_pile_up(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        for index in range(20):
            store.spill(claim, {index + 1: b"waiting", index + 3: b"waiting"})
            store.commit(claim, batch_of([tracked(run, index)]))
    assert ask(path, "SELECT frame FROM spilled ORDER BY frame") == [(20,), (21,), (22,)]


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
    assert "observations_by_track (run=? AND track=?)" in plan_of(path, asked, "FROM observations")


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
