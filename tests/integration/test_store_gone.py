"""A SQLite database that is deleted, moved or replaced while it is in use: nothing is told to be in it that is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.support.stores import ask, batch_of, claimed, make_run, open_file, outcome_of, start, tracked
from yolotrack.errors import StoreError, StoreGone
from yolotrack.store.base import Claim
from yolotrack.store.sql import SQLStore

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="files in use cannot be deleted there"),
]

FRAMES = 300
Change = Callable[[Path], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Reached through a link, in a folder that may be moved; an older copy and a stranger lie beside that."""
    (tmp_path / "kept").mkdir()
    real, link = tmp_path / "kept" / "tracks.db", tmp_path / "link.db"
    with closing(open_file(real)) as store:
        claimed(store, make_run(run_id="before"))
    shutil.copy(real, tmp_path / "older.db")
    link.symlink_to(real)
    return link


@pytest.fixture
def opened(path: Path) -> Iterator[tuple[SQLStore, Claim]]:
    """With the frames of a run, all but the last in the file itself."""
    with closing(open_file(path)) as store:
        claim = claimed(store, run := make_run(run_id="ours"))
        store.commit(claim, batch_of([tracked(run, index) for index in range(FRAMES)]))
        ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        store.commit(claim, batch_of([tracked(run, FRAMES)]))
        yield store, claim


def real(path: Path, suffix: str = "") -> Path:
    return path.parent / "kept" / f"tracks.db{suffix}"


def new_database(path: Path) -> None:
    real(path).unlink()
    with closing(sqlite3.connect(real(path))) as connection:
        connection.execute("CREATE TABLE something (else_ INTEGER)")


def retarget(path: Path) -> None:
    path.unlink()
    path.symlink_to("older.db")


def in_place_of(other: str) -> Change:
    return lambda path: (path.parent / other).replace(real(path))


def over(other: str) -> Change:
    return lambda path: shutil.copyfile(path.parent / other, real(path))


def letter(path: Path) -> None:
    """No database, and longer than one."""
    real(path).write_bytes(b"Dear reader, " * 1_000_000)


CHANGES: dict[str, tuple[Change, str]] = {
    "deleted": (lambda path: real(path).unlink(), "deleted or moved"),
    "link deleted": (lambda path: path.unlink(), "deleted or moved"),
    "all deleted": (lambda path: [file.unlink() for file in (path.parent / "kept").iterdir()], "deleted or moved"),
    "moved": (lambda path: real(path).rename(path.parent / "elsewhere.db"), "deleted or moved"),
    "folder moved": (lambda path: real(path).parent.rename(path.parent / "elsewhere"), "deleted or moved"),
    "folder deleted": (lambda path: shutil.rmtree(path.parent / "kept"), "deleted or moved"),
    "folder is a file": (lambda path: (shutil.rmtree(path.parent / "kept"), (path.parent / "kept").touch()), "deleted"),
    "new one": (new_database, "another file took its place"),
    "older one": (in_place_of("older.db"), "another file took its place"),
    "link to another": (retarget, "another file took its place"),
    "log deleted": (lambda path: real(path, "-wal").unlink(), "link.db-wal, a part of it, was deleted or replaced"),
    "log replaced": (
        lambda path: (real(path, "-wal").unlink(), real(path, "-wal").touch()),
        "link.db-wal, a part of it, was deleted or replaced",
    ),
    "index deleted": (lambda path: real(path, "-shm").unlink(), "link.db-shm, a part of it, was deleted or replaced"),
    "truncated": (lambda path: os.truncate(real(path), 0), "overwritten while in use"),
    "cut short": (lambda path: os.truncate(real(path), 8192), "overwritten while in use"),
    "older one copied over it": (over("older.db"), "overwritten while in use"),
    "letter copied over it": (letter, "overwritten while in use"),
}


def refused(path: Path, why: str, call: Callable[[], object]) -> None:
    with pytest.raises(StoreGone, match=rf"^cannot use {path} any longer: .*{why}") as told:
        call()
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_written_once_the_file_is_not_the_one_that_was_opened(
    name: str, path: Path, opened: tuple[SQLStore, Claim]
) -> None:
    store, claim = opened
    change, why = CHANGES[name]
    change(path)
    run = claim.record.run
    calls: list[Callable[[], object]] = [
        lambda: store.commit(claim, batch_of([tracked(run, FRAMES + 1)])),
        lambda: store.spill(claim, {FRAMES + 7: b"seven"}),
        lambda: store.claim(run.run_id),
        lambda: store.start_run(make_run()),
    ]
    if "overwritten" not in why:
        calls += [lambda: list(store.runs()), lambda: store.find_run("latest")]
    for call in calls:
        refused(path, why, call)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"cut short", "older one copied over it"}))
def test_a_commit_into_a_file_that_goes_meanwhile_is_not_told_to_be_one(
    name: str, path: Path, opened: tuple[SQLStore, Claim]
) -> None:
    store, claim = opened
    change, why = CHANGES[name]
    assert store._database.writer is not None

    @event.listens_for(store._database.writer, "commit")
    def meanwhile(_connection: object) -> None:
        change(path)

    refused(path, "", lambda: store.commit(claim, batch_of([tracked(claim.record.run, FRAMES + 1)])))
    assert why


def test_a_file_that_was_moved_keeps_all_that_was_committed(path: Path, opened: tuple[SQLStore, Claim]) -> None:
    """And what took its place does not get the log of the other."""
    store, claim = opened
    store.commit(claim, batch_of([tracked(claim.record.run, FRAMES + 1)]))
    moved = path.parent / "moved.db"
    real(path).rename(moved)
    in_place_of("older.db")(path)
    refused(path, "another file", lambda: store.commit(claim, batch_of([tracked(claim.record.run, FRAMES + 2)])))
    store.close()
    with closing(open_file(moved, read_only=True)) as ours:
        assert ours.find_run("ours").ledger.tracked == FRAMES + 2
    with closing(open_file(path)) as older:
        assert [record.run.run_id for record in older.runs()] == ["before"]
    for file in (moved, real(path)):
        assert ask(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_deleted_log_costs_nothing_that_was_committed(
    suffix: str, path: Path, opened: tuple[SQLStore, Claim]
) -> None:
    store, claim = opened
    real(path, suffix).unlink()
    refused(path, suffix, lambda: store.commit(claim, batch_of([tracked(claim.record.run, FRAMES + 1)])))
    store.close()
    with closing(open_file(path)) as again:
        assert again.find_run("ours").ledger.tracked == FRAMES + 1
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_what_is_put_back_is_used_on(path: Path, opened: tuple[SQLStore, Claim]) -> None:
    store, claim = opened
    real(path).rename(path.parent / "aside.db")
    refused(path, "deleted or moved", lambda: store.claim("ours"))
    (path.parent / "aside.db").rename(real(path))
    store.commit(claim, batch_of([tracked(claim.record.run, FRAMES + 1)]))
    assert store.find_run("ours").ledger.tracked == FRAMES + 2


FELLOW = """
from tests.support.stores import *
import sys, pathlib
store = open_file(pathlib.Path(sys.argv[1]))
claim = claimed(store, run := make_run(run_id=sys.argv[1][-3:] + "fellow"))
for index in range(0, 600, 50):
    store.commit(claim, batch_of([tracked(run, i, ids=range(1, 9)) for i in range(index, index + 50)]))
store.prune([run.run_id])
store.vacuum()
"""


def test_others_that_write_prune_and_vacuum_are_no_strangers(path: Path, opened: tuple[SQLStore, Claim]) -> None:
    """Their checkpoints change the file, and their VACUUM makes it smaller."""
    store, claim = opened
    run, index = claim.record.run, FRAMES + 1
    fellow = start(FELLOW, path)
    while fellow.poll() is None:
        store.commit(claim, batch_of([tracked(run, index)]))
        index += 1
    outcome_of(fellow)
    store.prune(["before"])
    store.vacuum()
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.commit(claim, batch_of([tracked(run, index)]))
    assert store.find_run("ours").ledger.tracked == index + 1


def test_a_reader_follows_the_file_that_stands_there(path: Path, opened: tuple[SQLStore, Claim]) -> None:
    with closing(open_file(path, read_only=True)) as reader:
        rows = reader.observations("ours")
        next(rows)
        in_place_of("older.db")(path)
        assert sum(1 for _ in rows) == 2 * (FRAMES + 1) - 1, "what it reads is of one moment"
        opened[0].close()
        assert [record.run.run_id for record in reader.runs()] == ["before"]
        real(path).unlink()
        with pytest.raises(StoreError, match=f"no database at {path}"):
            reader.find_run("latest")
