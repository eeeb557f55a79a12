"""The store behind a real PgBouncer, where one transaction and the next may meet different sessions of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from threading import Event

import psycopg
import pytest

from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.postgres import PostgresCluster, postgres_cluster
from tests.support.stores import batch_of, claimed, dump, make_run, tracked, wandering
from tests.support.waiting import Background, wait_until
from yolotrack.config import DatabaseSettings
from yolotrack.errors import Fenced, StoreAway, StoreError
from yolotrack.store import postgres as adapter
from yolotrack.store.base import Selection, Store
from yolotrack.store.sql import SQLStore, open_store

pytestmark = pytest.mark.timeout(120)

STREAMS, BATCHES = 6, 15
PATIENCE = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """One that may be stopped."""
    with postgres_cluster() as opened:
        yield opened


@pytest.fixture(scope="module", params=["transaction", "session"])
def bouncer(request: pytest.FixtureRequest, cluster: PostgresCluster) -> Iterator[PgBouncer]:
    """With fewer sessions than there are clients, where a client needs no session of its own."""
    with pgbouncer(cluster, request.param, sessions=3 if request.param == "transaction" else 20) as opened:
        yield opened


@pytest.fixture
def url(bouncer: PgBouncer) -> str:
    return bouncer.fresh()


def opened(url: str, *, read_only: bool = False) -> SQLStore:
    return open_store(DatabaseSettings(url=url), read_only=read_only)


def write(store: Store, stream: str) -> list[object]:
    """A run of many transactions, read in between; all of it as it comes out."""
    claim = claimed(store, run := make_run(stream))
    for batch in range(BATCHES):
        store.commit(claim, batch_of([wandering(run, index) for index in range(4 * batch, 4 * batch + 4)]))
        assert store.find_run(run.run_id).ledger.tracked == 4 * batch + 4
    rows = list(store.observations(run.run_id))
    assert sum(part.num_rows for part in store.select(Selection((run.run_id,)))) == len(rows)
    return [(row.frame, row.track_id, row.xyxy, row.confidence) for row in rows]


def test_many_writers_and_readers_share_few_sessions(url: str) -> None:
    with closing(opened(url)) as store, closing(opened(url)) as other:
        writing = [Background(lambda number=number: write(store, f"cam{number}")) for number in range(STREAMS)]  # type: ignore[misc]
        written = [each.result(PATIENCE) for each in writing]
        assert all(rows == written[0] for rows in written), "the same frames give the same rows"
        assert len(dump(other)) == STREAMS
        latest = other.find_run("latest").run.run_id
        other.prune([latest])
        other.vacuum()
        assert len(list(store.runs())) == STREAMS - 1


def test_an_answer_longer_than_a_batch_comes_from_one_moment(url: str) -> None:
    with closing(opened(url)) as store:
        claim = claimed(store, run := make_run())
        store.commit(claim, batch_of([tracked(run, index, ids=range(1, 11)) for index in range(400)]))
        rows = store.observations(run.run_id)
        assert next(rows).frame == 0
        store.commit(claim, batch_of([tracked(run, 400)]))
        assert sum(1 for _ in rows) == 3999


def test_nothing_is_left_in_a_session(cluster: PostgresCluster) -> None:
    """Strangers who get it next would find it."""
    with pgbouncer(cluster, "transaction", sessions=1) as bouncer:
        url = bouncer.fresh()
        plain = url.replace("+psycopg", "")
        query = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name' ORDER BY name"
        with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as stranger:
            before = stranger.execute(query).fetchall()
            with closing(opened(url)) as store:
                write(store, "cam")
                store.prune([store.find_run("latest").run.run_id])
                store.vacuum()
            assert stranger.execute(query).fetchall() == before
            assert stranger.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
            assert stranger.execute("SELECT name FROM pg_cursors").fetchall() == []
            assert stranger.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []


def test_limits_and_durability_hold_within_every_transaction(url: str) -> None:
    with closing(opened(url)) as store:
        writer = store._database.writer
        assert writer is not None
        for _ in range(5):
            with writer.begin() as connection:
                ask = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in adapter._WRITING]
                assert ask == list(adapter._WRITING.values())
            with store._database.reader.connect() as connection:
                assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
                assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
                assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "30s"


def test_statements_are_prepared_only_where_nobody_stands_between(url: str, cluster: PostgresCluster) -> None:
    for place, prepared in ((url, False), (cluster.fresh(), True)):
        with closing(opened(place)) as store:
            write(store, "cam")
            writer = store._database.writer
            assert writer is not None
            with writer.begin() as connection:
                count = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar()
            assert bool(count) == prepared


def test_an_owner_that_was_overtaken_is_fenced(url: str) -> None:
    with closing(opened(url)) as store, closing(opened(url)) as other:
        old = claimed(store, run := make_run())
        new = other.claim(run.run_id)
        with pytest.raises(Fenced):
            store.commit(old, batch_of([tracked(run, 0)]))
        other.commit(new, batch_of([tracked(run, 0)]))


def test_a_pooler_that_dies_and_a_server_that_restarts_behind_one_are_outlived(
    cluster: PostgresCluster, bouncer: PgBouncer
) -> None:
    with closing(opened(bouncer.fresh())) as store:
        claim = claimed(store, run := make_run())
        store.commit(claim, batch_of([tracked(run, 0)]))
        bouncer.kill()
        with pytest.raises(StoreAway, match="no server answers there"):
            store.commit(claim, batch_of([tracked(run, 1)]))
        bouncer.start()
        store.commit(claim, batch_of([tracked(run, 1)]))
        cluster.stop()
        stopped = Event()
        committing = Background(
            lambda: again_and_again(lambda: store.commit(claim, batch_of([tracked(run, 2)])), stopped)
        )
        wait_until(stopped.is_set, "a refusal", PATIENCE)
        cluster.start()
        committing.result(PATIENCE)
        assert store.find_run(run.run_id).ledger.tracked == 3


def again_and_again(call: object, refused: Event) -> None:
    """Until it works; only what passes may keep it from that."""
    while True:
        try:
            return call()  # type: ignore[operator,no-any-return]
        except StoreAway:
            refused.set()


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("nowhere", r"database .nowhere. does not exist: create it"),
        ("postgres?options=-csearch_path%3Dx", r"unsupported startup parameter.*: take it out of the URL, or name it"),
    ],
)
def test_what_a_pooler_refuses_is_told_with_its_remedy(where: str, line: str, bouncer: PgBouncer) -> None:
    with pytest.raises(StoreError, match=line):
        opened(f"postgresql://postgres@127.0.0.1:{bouncer.port}/{where}")


def test_statement_mode_is_refused(cluster: PostgresCluster) -> None:
    with (
        pgbouncer(cluster, "statement") as bouncer,
        pytest.raises(StoreError, match=r"statement pooling mode: have PgBouncer pool by transaction or session"),
    ):
        opened(bouncer.fresh())
