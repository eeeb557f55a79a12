"""Pruning and vacuuming as `store/base.py` words it, over every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from tests.support.stores import batch_of, claimed, dump, lost, make_run, told, tracked, wandering
from yolotrack.config import DatabaseSettings
from yolotrack.errors import Fenced, NotFound, StoreError
from yolotrack.model import Ledger, RunStatus
from yolotrack.store import pruning, sql
from yolotrack.store.base import Checkpoint, Claim, Store
from yolotrack.store.schema import metadata
from yolotrack.store.sql import SQLStore, open_store

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A fresh store, in a database of each kind."""
    opened = open_store(DatabaseSettings(url=database_url))
    yield opened
    opened.close()


def _full_run(store: Store, stream: str, run_id: str = "") -> Claim:
    """A running run with something in every table."""
    claim = claimed(store, run := make_run(stream, run_id=run_id))
    frames = [lost(run, index) if index % 10 == 9 else wandering(run, index) for index in range(40)]
    store.commit(claim, replace(batch_of(frames, b"state"), detections={index: b"body" for index in range(40)}))
    store.spill(claim, {41: b"waiting"})
    return claim


@pytest.mark.parametrize("rows_at_once", [15, 20_000])
def test_pruned_runs_are_gone_and_others_whole(
    store: SQLStore, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_ROWS_AT_ONCE", rows_at_once)
    _full_run(store, "before")
    _full_run(store, "after")
    kept, counts = dump(store), _row_counts(store)
    gone = [_full_run(store, "gone", run_id="gone"), _full_run(store, "too")]
    store.end_run(gone[0], RunStatus.COMPLETE, 40)
    store.prune([claim.run_id for claim in gone] + ["never there"])
    assert dump(store) == kept
    assert _row_counts(store) == counts, "rows were left"
    for claim in gone:
        with pytest.raises(NotFound):
            list(store.observations(claim.run_id))
        with pytest.raises(StoreError):
            store.commit(claim, batch_of([tracked(claim.record.run, 40)]))
    again = _full_run(store, "gone", run_id="gone")
    assert again.checkpoint == Checkpoint()
    assert store.find_run("gone").ledger == Ledger(40, 36, 4, 0)


def _row_counts(store: SQLStore) -> dict[str, object]:
    return {table: told(store, f"SELECT COUNT(*) FROM {table}") for table in metadata.tables}  # noqa: S608


def test_a_run_half_pruned_does_not_look_whole_and_goes_with_the_next(
    store: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _full_run(store, "kept")
    kept, counts = dump(store), _row_counts(store)
    owner = _full_run(store, "half")
    parts = iter(range(3))

    def dies(connection: Connection, number: int) -> bool:
        if next(parts, None) is None:
            raise OSError("the power went")
        return pruning.prune_part(connection, number)

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_ROWS_AT_ONCE", 20)
        patch.setattr(sql, "prune_part", dies)
        with pytest.raises(StoreError, match="the power went"):
            store.prune([owner.run_id])
    half = store.find_run(owner.run_id)
    assert (half.status, half.ledger, half.tracks) == (RunStatus.INTERRUPTED, Ledger(0, 0, 0, 0), 0)
    assert half.ended_at is not None
    assert half.ended_at > half.run.started_at
    assert len(list(store.observations(owner.run_id))) > 0, "or it proves nothing"
    with pytest.raises(Fenced):
        store.commit(owner, batch_of([tracked(owner.record.run, 40)]))
    store.prune([])
    assert dump(store) == kept
    assert _row_counts(store) == counts


def test_what_is_being_read_stays_while_it_is_pruned(store: Store) -> None:
    claim = _full_run(store, "read")
    expected = list(store.observations(claim.run_id))
    rows = store.observations(claim.run_id)
    first = next(rows)
    store.prune([claim.run_id])
    assert [first, *rows] == expected


def test_vacuuming_changes_nothing_that_is_told(store: Store) -> None:
    claim = _full_run(store, "kept")
    store.prune([_full_run(store, "gone").run_id])
    before = dump(store)
    store.vacuum()
    assert dump(store) == before
    assert store.size() > 0
    store.commit(claim, batch_of([tracked(claim.record.run, 40)]))
