"""What only a store on a PostgreSQL server must hold: who waits for whom, what cuts waiting off, what refusals say."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import insert

from tests.support.commands import REPOSITORY
from tests.support.postgres import BY_SYSTEM, LOCKED, NEEDS_TLS, PASSWORD, REFUSED, PostgresCluster, postgres_cluster
from tests.support.stores import batch_of, claimed, dump, lost, make_run, tracked
from tests.support.waiting import Background, wait_until
from yolotrack.config import DatabaseSettings
from yolotrack.errors import Fenced, StoreAway, StoreError
from yolotrack.model import Run
from yolotrack.store import postgres as adapter
from yolotrack.store import schema
from yolotrack.store.base import Selection
from yolotrack.store.migrations import migrations
from yolotrack.store.sql import SQLStore, open_store

pytestmark = pytest.mark.timeout(120)

PATIENCE = 60.0
OpenStore = Callable[..., SQLStore]


@pytest.fixture
def url(postgres: PostgresCluster) -> str:
    """Of a new, empty schema."""
    return postgres.fresh()


@pytest.fixture
def opened() -> Iterator[OpenStore]:
    """Opens stores that are closed with the test."""
    stores: list[SQLStore] = []

    def open_one(url: str, *, read_only: bool = False) -> SQLStore:
        stores.append(open_store(DatabaseSettings(url=url), read_only=read_only))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, opened: OpenStore) -> SQLStore:
    """A fresh one."""
    return opened(url)


def libpq(url: str) -> str:
    """As psycopg itself wants it."""
    return url.replace("+psycopg", "")


@contextmanager
def session(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's, in a transaction that the test ends."""
    with closing(psycopg.connect(libpq(url))) as connection:
        yield connection


def wait_for_lock(postgres: PostgresCluster, count: int = 1) -> None:
    """Until so many sessions wait for others."""
    wait_until(lambda: len(waiting_for_lock(postgres)) >= count, "somebody to wait for a lock", PATIENCE)


def waiting_for_lock(postgres: PostgresCluster) -> list[int]:
    """Processes of the server."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return [pid for (pid,) in postgres.execute(query)]


# -- where it is


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "PostgreSQL"])
def test_every_spelling_of_the_url_opens_it(scheme: str, url: str, opened: OpenStore) -> None:
    assert list(opened(f"{scheme}://{url.partition('://')[2]}").runs()) == []


def test_parameters_of_the_url_reach_the_server(postgres: PostgresCluster, url: str, opened: OpenStore) -> None:
    opened(f"{url}&application_name=gate").start_run(make_run())
    schema_name = url.rpartition("%3D")[2]
    assert postgres.execute(f"SELECT count(*) FROM {schema_name}.runs") == [(1,)]  # noqa: S608  # a name of ours
    names = {name for (name,) in postgres.execute("SELECT application_name FROM pg_stat_activity")}
    assert "gate" in names
    assert "yolotrack" not in names


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql+psycopg2", "mysql"])
def test_other_drivers_are_refused_by_name(scheme: str) -> None:
    with pytest.raises(StoreError, match=r"is not supported: write sqlite:///FILE or postgresql://") as told:
        open_store(DatabaseSettings(url=f"{scheme}://me:hunter2@host/tracks"))
    assert "hunter2" not in str(told.value)


def test_a_missing_driver_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yolotrack.store.postgres")
    monkeypatch.delattr("yolotrack.store.postgres")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"PostgreSQL needs its driver: pip install 'yolotrack\[postgres\]'"):
        open_store(DatabaseSettings(url="postgresql://me@host/tracks"))


@pytest.mark.parametrize(
    ("who", "where", "line"),
    [
        (
            "postgres:hunter2",
            "127.0.0.1:{port}/nowhere",
            r'database "nowhere" does not exist: create it with `createdb`',
        ),
        ("nobody:hunter2", "127.0.0.1:{port}/postgres", r'role "nobody" does not exist: create it with `createuser`'),
        (f"{LOCKED}:hunter2", "127.0.0.1:{port}/postgres", r"password authentication failed .*: look at user and pass"),
        (LOCKED, "127.0.0.1:{port}/postgres", r"no password supplied: put it into the URL"),
        (f"{LOCKED}:{PASSWORD}", "127.0.0.1:{port}/postgres", r"permission denied for schema public: let the user"),
        (
            f"{REFUSED}:hunter2",
            "127.0.0.1:{port}/postgres",
            r"pg_hba.conf rejects .*: the server lets nobody in this way",
        ),
        (f"{NEEDS_TLS}:hunter2", "127.0.0.1:{port}/postgres", r"pg_hba.conf rejects .*, no encryption: .* and TLS$"),
        (
            f"{BY_SYSTEM}:hunter2",
            "127.0.0.1:{port}/postgres",
            r"Ident authentication failed .*: the server wants a user",
        ),
        ("idle:hunter2", "127.0.0.1:{port}/postgres", r'role "idle" is not permitted to log in: let it with `ALTER R'),
        ("full:hunter2", "127.0.0.1:{port}/postgres", r'too many connections for role "full": raise the server'),
        ("standby:hunter2", "127.0.0.1:{port}/postgres", r"read-only transaction: it is a standby or set to read-only"),
        ("lost:hunter2", "127.0.0.1:{port}/postgres", r"no schema has been selected to create in: create that schema"),
        (
            "postgres:hunter2",
            "127.0.0.1:{port}/shut",
            r'database "shut" is not currently accepting connections: let it',
        ),
        ("me:hunter2", "127.0.0.1:1/tracks", r"Connection refused: no server answers there: start it"),
        ("me:hunter2", "localhost:1/tracks", r"Connection refused: no server answers there: start it"),
        (
            "me:hunter2",
            "no-such-host.invalid/tracks",
            r"failed to resolve host 'no-such-host.invalid'.*: look at the h",
        ),
        ("me:hunter2", "127.0.0.1:{port}/postgres?sslmode=require", r"server does not support SSL"),
        ("me:hunter2", "127.0.0.1:{port}/postgres?colour=red", r'invalid connection option "colour"'),
        ("me:hunter2", "127.0.0.1:{port}/postgres?connect_timeout=soon", r"bad value for connect_timeout: 'soon'"),
        ("me:hunter2", "127.0.0.1:nine/postgres", r"is not a database URL: write postgresql://USER:PASSWORD@HOST/DAT"),
        ("me:hunter2", "127.0.0.1:99999/postgres", r"invalid port number"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_refusal_is_one_line_that_says_what_to_do(
    who: str, where: str, line: str, read_only: bool, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_refusals(postgres)
    if read_only and re.search("permission denied|read-only|no schema", line):
        line = "yolotrack has not written to it yet"
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    with pytest.raises(StoreError, match=line) as told:
        open_store(DatabaseSettings(url=f"postgresql://{who}@{where.format(port=postgres.port)}"), read_only=read_only)
    assert len(str(told.value).splitlines()) == 1
    assert "hunter2" not in str(told.value)
    assert PASSWORD not in str(told.value)


def prepare_refusals(postgres: PostgresCluster) -> None:
    """Roles and a database that do not work as they should, once a cluster."""
    if postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = 'idle'"):
        return
    for statement in REFUSING.split(";"):
        postgres.execute(statement)


REFUSING = """
CREATE ROLE idle NOLOGIN;
CREATE ROLE full LOGIN CONNECTION LIMIT 0;
CREATE ROLE standby LOGIN SUPERUSER;
ALTER ROLE standby SET default_transaction_read_only = on;
CREATE ROLE lost LOGIN;
ALTER ROLE lost SET search_path = nowhere;
CREATE DATABASE shut ALLOW_CONNECTIONS false
"""


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert adapter._REACHING["connect_timeout"] == 10
    monkeypatch.setitem(adapter._REACHING, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(StoreError, match=r"timeout expired: nothing answers there"):
            open_store(DatabaseSettings(url=f"postgresql://me@127.0.0.1:{port}/tracks"))


def test_a_database_that_cannot_keep_every_text_is_refused(postgres: PostgresCluster, opened: OpenStore) -> None:
    url = postgres.fresh_database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match=r"cannot use .*: its encoding is LATIN1: create it with ENCODING 'UTF8'"):
        opened(url)


def test_reading_only_needs_no_right_to_write(postgres: PostgresCluster, url: str, opened: OpenStore) -> None:
    writing = opened(url)
    writing.commit(claimed(writing, run := make_run()), batch_of([tracked(run, 0)]))
    mine = url.rpartition("%3D")[2]
    postgres.execute(f"GRANT USAGE ON SCHEMA {mine} TO {LOCKED}")
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {mine} TO {LOCKED}")
    reading = opened(url.replace("postgres@", f"{LOCKED}:{PASSWORD}@"), read_only=True)
    assert dump(reading) == dump(writing)
    with pytest.raises(StoreError, match="opened for reading only"):
        reading.start_run(make_run())


def test_a_reader_cannot_write(store: SQLStore) -> None:
    with store._database.reader.connect() as connection, pytest.raises(Exception, match="read-only transaction"):
        connection.execute(insert(schema.classes), {"run": 1, "class_id": 1, "name": "x"})


def test_all_that_an_answer_is_put_together_of_is_of_one_moment(store: SQLStore) -> None:
    one, two = make_run("one"), make_run("two")
    claims = [claimed(store, run) for run in (one, two)]
    for claim, run in zip(claims, (one, two), strict=True):
        store.commit(claim, batch_of([tracked(run, 0)]))
    batches = store.select(Selection((one.run_id, two.run_id)))
    assert next(batches)["frame"].to_pylist() == [0, 0]
    store.commit(claims[1], batch_of([tracked(two, 1)]))
    assert next(batches)["frame"].to_pylist() == [0, 0]


# -- several at once


def test_processes_that_open_an_empty_database_at_once_share_one_migration(
    postgres: PostgresCluster, url: str, opened: OpenStore
) -> None:
    script = (
        "import sys\n"
        "from yolotrack.config import DatabaseSettings\n"
        "from yolotrack.store.sql import open_store\n"
        "open_store(DatabaseSettings(url=sys.argv[1])).close()\n"
    )
    with session(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [adapter._SCHEMA_LOCK])
        processes = [
            subprocess.Popen([sys.executable, "-c", script, url], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        wait_for_lock(postgres, 3)
        other.rollback()
    for process in processes:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    with session(url) as other:
        steps = other.execute("SELECT version FROM schema_migrations ORDER BY version").fetchall()
    assert [version for (version,) in steps] == [step.version for step in migrations()]
    assert dump(opened(url)) == []


def test_a_run_that_two_start_at_once_is_one(postgres: PostgresCluster, url: str, store: SQLStore) -> None:
    store.start_run(run := make_run())
    with session(url) as other:
        other.execute("CREATE TEMPORARY TABLE copied AS SELECT * FROM runs")
        store.prune([run.run_id])
        other.execute("INSERT INTO runs SELECT * FROM copied")
        other.execute("INSERT INTO checkpoints SELECT id, 0, 0, 0, '' FROM runs")
        starting = Background(lambda: store.start_run(run))
        wait_for_lock(postgres)
        other.commit()
        starting.result(PATIENCE)
    assert [record.run for record in store.runs()] == [run]
    assert store.claim(run.run_id).epoch == 1


def test_a_commit_that_waited_while_another_claimed_is_fenced(
    postgres: PostgresCluster, url: str, store: SQLStore
) -> None:
    old = claimed(store, run := make_run())
    store.commit(old, batch_of([tracked(run, 0)]))
    before = dump(store)
    with session(url) as other:
        other.execute("UPDATE checkpoints SET epoch = epoch + 1")
        committing = Background(lambda: store.commit(old, batch_of([tracked(run, 1)])))
        wait_for_lock(postgres)
        other.commit()
        with pytest.raises(Fenced):
            committing.result(PATIENCE)
    assert dump(store) == before


def test_a_claim_that_waited_for_a_commit_sees_it(postgres: PostgresCluster, url: str, store: SQLStore) -> None:
    claimed(store, run := make_run())
    with session(url) as other:
        other.execute("UPDATE checkpoints SET next_index = 7, tracker_state = 'seven'")
        claiming = Background(lambda: store.claim(run.run_id))
        wait_for_lock(postgres)
        other.commit()
        checkpoint = claiming.result(PATIENCE).checkpoint
    assert (checkpoint.next_index, checkpoint.tracker_state) == (7, b"seven")


def test_writers_of_different_runs_do_not_wait_for_each_other(url: str, store: SQLStore) -> None:
    claimed(store, make_run("one"))
    claim = claimed(store, run := make_run("two"))
    with session(url) as other:
        other.execute("UPDATE checkpoints SET epoch = epoch WHERE run = (SELECT id FROM runs WHERE stream = 'one')")
        Background(lambda: store.commit(claim, batch_of([tracked(run, 0)]))).result(PATIENCE)
    assert store.find_run(run.run_id).ledger.tracked == 1


# -- waiting that ends


def test_a_commit_does_not_wait_for_ever(url: str, opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert adapter._WRITING["lock_timeout"] == adapter._PATIENT["lock_timeout"] == "30s"
    monkeypatch.setitem(adapter._WRITING, "lock_timeout", "200ms")
    store = opened(url)
    claim = claimed(store, run := make_run())
    with session(url) as other:
        other.execute("UPDATE checkpoints SET epoch = epoch")
        with pytest.raises(StoreAway, match="lock timeout: another process keeps it locked"):
            store.commit(claim, batch_of([tracked(run, 0)]))
    store.commit(claim, batch_of([tracked(run, 0)]))
    assert store.find_run(run.run_id).ledger.tracked == 1


def test_vacuum_does_not_wait_for_ever(url: str, opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(adapter._WRITING, "lock_timeout", "200ms")
    store = opened(url)
    with session(url) as other:
        other.execute("SELECT * FROM observations")
        with pytest.raises(StoreAway, match="lock timeout: another process keeps it locked"):
            store.vacuum()
    store.vacuum()


FROZEN = """
import os, signal, sys
from tests.support.stores import batch_of, claimed, make_run, tracked
from yolotrack.config import DatabaseSettings
from yolotrack.store import postgres, sql

assert postgres._WRITING["idle_in_transaction_session_timeout"] == "20s"
postgres._WRITING["idle_in_transaction_session_timeout"] = "1s"
store = sql.open_store(DatabaseSettings(url=sys.argv[1]))
claim = claimed(store, run := make_run(run_id="frozen"))
batch_rows = sql.batch_rows

def freeze(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)
    return batch_rows(*arguments)

sql.batch_rows = freeze
try:
    store.commit(claim, batch_of([tracked(run, 0)]))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_writer_frozen_in_a_transaction_loses_its_locks(url: str, store: SQLStore) -> None:
    frozen = subprocess.Popen([sys.executable, "-c", FROZEN, url], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        claim = store.claim("frozen")  # which waits for the frozen one's lock
        store.commit(claim, batch_of([lost(claim.record.run, 0)]))
        frozen.send_signal(signal.SIGCONT)
        out, _ = frozen.communicate(timeout=PATIENCE)
    finally:
        frozen.kill()
        frozen.communicate()
    assert out.startswith("StoreAway cannot use postgresql"), out
    assert "idle-in-transaction timeout" in out
    assert store.find_run("frozen").ledger.failed == 1


def test_a_session_cut_off_in_the_middle_of_a_commit_wrote_nothing(
    postgres: PostgresCluster, url: str, store: SQLStore
) -> None:
    claim = claimed(store, run := make_run())
    before = dump(store)
    with session(url) as other:
        other.execute("LOCK TABLE observations")
        committing = Background(lambda: store.commit(claim, batch_of([tracked(run, 0)])))
        wait_for_lock(postgres)
        for pid in waiting_for_lock(postgres):
            postgres.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StoreAway, match="terminating connection") as told:
            committing.result(PATIENCE)
    assert len(str(told.value).splitlines()) == 1
    assert dump(store) == before
    store.commit(claim, batch_of([tracked(run, 0)]))
    assert store.find_run(run.run_id).ledger.tracked == 1


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[PostgresCluster]:
    """One that may be stopped."""
    with postgres_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("end", [PostgresCluster.stop, PostgresCluster.kill])
def test_a_restarted_server_is_used_on_as_if_nothing_had_happened(
    end: Callable[[PostgresCluster], None], own_cluster: PostgresCluster, opened: OpenStore
) -> None:
    store = opened(own_cluster.fresh())
    claim = claimed(store, run := make_run())
    store.commit(claim, batch_of([tracked(run, 0)]))
    before = dump(store)
    end(own_cluster)
    with pytest.raises(StoreAway, match="Connection refused: no server answers there"):
        store.commit(claim, batch_of([tracked(run, 1)]))
    with pytest.raises(StoreAway, match="Connection refused: no server answers there"):
        list(store.runs())
    own_cluster.start()
    assert dump(store) == before
    store.commit(claim, batch_of([tracked(run, 1)]))
    end(own_cluster)
    own_cluster.start()
    store.commit(claim, batch_of([tracked(run, 2)]))  # over a connection that died unnoticed
    assert store.find_run(run.run_id).ledger.tracked == 3


def test_what_was_committed_is_on_the_disk_even_where_the_database_says_otherwise(
    postgres: PostgresCluster, opened: OpenStore
) -> None:
    url = postgres.fresh_database()
    postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    writer = opened(url)._database.writer
    assert writer is not None
    with writer.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


# -- what is kept


def test_no_text_keeps_a_frame_out(store: SQLStore) -> None:
    run = replace(make_run(), source="a\0b\udc80.mp4")
    claim = claimed(store, run)
    named = tracked(run, 1)
    named.tracks.data["class_name"][:] = ["c\0r", "ü\U0001f600"]
    named.tracks.class_id[:] = [1, 2]
    store.commit(claim, batch_of([lost(run, 0, reason="not a \0 JPEG"), named]))
    assert store.find_run(run.run_id).run.source == "a\ufffdb?.mp4"
    [first, _] = store.outcomes(run.run_id)
    assert first.reason == "not a \ufffd JPEG"
    assert [row.class_name for row in store.observations(run.run_id)] == ["c\ufffdr", "ü\U0001f600"]


def test_times_are_exact_however_far(store: SQLStore) -> None:
    moments = [datetime(1970, 1, 1, tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc)]
    claim = claimed(store, run := make_run())
    frames = [replace(tracked(run, index), captured_at=moment) for index, moment in enumerate(moments)]
    store.commit(claim, batch_of(frames))
    assert [frame.captured_at for frame in store.outcomes(run.run_id)] == moments


def test_a_table_of_any_length_is_read_in_flat_memory(url: str, store: SQLStore) -> None:
    store.start_run(run := make_run())
    fill(url, run, frames=30_000, tracks=10)
    first, *_ = store.select(Selection((run.run_id,), limit=1000))
    process, most, rows = psutil.Process(), 0, 0
    before = process.memory_info().rss
    for batch in store.select(Selection((run.run_id,))):
        rows += batch.num_rows
        most = max(most, process.memory_info().rss - before)
    assert first.num_rows == 1000
    assert rows == 300_000
    assert most < 30_000_000, f"{most / 1e6:.0f} MB"


def test_vacuum_gives_the_room_of_what_was_pruned_back(url: str, store: SQLStore) -> None:
    store.start_run(run := make_run())
    empty = store.size()
    fill(url, run, frames=10_000, tracks=10)
    full = store.size()
    store.prune([run.run_id])
    store.vacuum()
    assert empty < 500_000
    assert full > 5_000_000
    assert store.size() < 500_000
    assert list(store.runs()) == []


def fill(url: str, run: Run, *, frames: int, tracks: int) -> None:
    """Rows as commits would write them, made by the server."""
    values = {"run": run.run_id, "last": frames - 1, "tracks": tracks}
    with session(url) as other:
        for statement in FILLING.split(";"):
            other.execute(statement.encode(), values)
        other.commit()


FILLING = """
INSERT INTO frames SELECT runs.id, f, f / 25.0, 0 FROM runs, generate_series(0, %(last)s) f WHERE run_id = %(run)s;
INSERT INTO observations SELECT runs.id, f, t, 2, 0.5, f, f, f + 10, f + 10
FROM runs, generate_series(0, %(last)s) f, generate_series(1, %(tracks)s) t WHERE run_id = %(run)s;
INSERT INTO classes SELECT id, 2, 'car' FROM runs WHERE run_id = %(run)s;
UPDATE runs SET published = %(last)s + 1, tracked = %(last)s + 1 WHERE run_id = %(run)s
"""
