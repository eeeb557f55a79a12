"""Room on the disk and in memory: a full disk, what is given back, and what does not pile up."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
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
    outcome_of,
    start,
    tracked,
)
from tests.support.waiting import Background
from yolotrack.store import sqlite
from yolotrack.store.sql import SQLStore

pytestmark = pytest.mark.timeout(120)


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


def test_a_disk_too_full_to_vacuum_is_told_and_nothing_lost(path: Path) -> None:
    code = """
import resource
from yolotrack.errors import StoreError
store = open_file(path)
for name in ("gone", "kept"):
    run = make_run(run_id=name)
    store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(3000)]))
store.prune(["gone"])
before = dump(store)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    store.vacuum()
except StoreError as error:
    print(error)
assert dump(store) == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.vacuum()
assert dump(store) == before
"""
    told = outcome_of(start(WITH_SUPPORT + code, path))
    assert told.startswith(f"cannot use {path}: ")
    assert "make room" in told
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


# -- room on the disk


def test_vacuum_gives_room_back_to_the_disk(path: Path) -> None:
    runs = [make_run(run_id=name) for name in ("gone", "kept")]
    with closing(open_file(path)) as store:
        for run in runs:
            store.commit(claimed(store, run), batch_of([tracked(run, index) for index in range(3000)]))
        before = dump(store)[1:]
        assert path.with_name("tracks.db-wal").stat().st_size > 0
        assert store.size() == path.stat().st_size + path.with_name("tracks.db-wal").stat().st_size
        store.prune(["gone"])
        full = store.size()
        assert ask(path, "PRAGMA freelist_count") > [(10,)]
        store.vacuum()
        assert ask(path, "PRAGMA freelist_count") == [(0,)]
        assert store.size() < 0.7 * full
        assert dump(store) == before


def test_vacuum_does_not_wait_for_who_reads(path: Path) -> None:
    run = make_run()
    with closing(open_file(path)) as store:
        claim = claimed(store, run)
        store.commit(claim, batch_of([tracked(run, index) for index in range(3000)]))
        rows = store.observations(run.run_id)
        first = next(rows)
        Background(store.vacuum).result(sqlite.BUSY_SECONDS / 2)
        assert sum(1 for _ in (first, *rows)) == 6000
        store.commit(claim, batch_of([tracked(run, 3000)]))
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


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
