"""The store on SQLAlchemy Core, and the factory of stores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Engine, Table, delete, select, update

from yolotrack.errors import NotFound, StoreError
from yolotrack.model import Run, RunStatus, utc_now
from yolotrack.store.base import Batch, Checkpoint, Claim
from yolotrack.store.database import Database, explained
from yolotrack.store.migrations import migrate, require_begun, require_current
from yolotrack.store.opening import open_database
from yolotrack.store.pruning import begin_pruning, half_pruned, prune_part
from yolotrack.store.queries import run_number, select_records
from yolotrack.store.reading import Reader, no_run
from yolotrack.store.rows import BatchRows, TableRow, batch_rows, run_record, run_row
from yolotrack.store.schema import (
    checkpoints,
    classes,
    detections,
    failures,
    frames,
    observations,
    paths,
    runs,
    spilled,
    tracks,
)
from yolotrack.store.statements import (
    add_to_ledger,
    adding_to_tracks,
    drop_spilled,
    fence,
    replacing_paths,
    stored_paths,
)
from yolotrack.store.sums import Seen, paths_after

if TYPE_CHECKING:
    from yolotrack.config import DatabaseSettings

_BREATH = 0.01
"""Between parts of a long deletion: others who wait for their turn look every millisecond whether it has come."""


def open_store(settings: DatabaseSettings, *, read_only: bool = False) -> SQLStore:
    """Open the database that the settings name; make it, or bring its schema up to date, unless `read_only`.

    `read_only` changes nothing, creates no file, and refuses calls that write. Raises `StoreError`.
    """
    store = SQLStore(open_database(settings.url, read_only=read_only))
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


def open_existing(settings: DatabaseSettings) -> SQLStore:
    """Open a database for writing, as `open_store` does, but none that nobody has written to: a wrong name makes no
    database. Raises `StoreError`.
    """
    database = open_database(settings.url, read_only=True)
    try:
        with explained(database), database.reader.connect() as connection:
            require_begun(connection)
    finally:
        database.close()
    return open_store(settings)


class SQLStore(Reader):
    """`Store` over one `Database`: transactions that write, each alone where it must be, and questions beside them."""

    def __init__(self, database: Database) -> None:
        """`open_store` makes these."""
        super().__init__(database)
        self._add_classes = database.upsert(classes).on_conflict_do_nothing()
        self._add_to_tracks = adding_to_tracks(database.upsert(tracks))
        self._replace_paths = replacing_paths(database.upsert(paths))

    def prepare(self) -> None:
        """Bring the schema up to date; without a writer, refuse one that is not."""
        if self._database.writer is None:
            with explained(self._database), self._database.reader.connect() as connection:
                return require_current(connection)
        with self._alone() as engine:
            migrate(engine, self._database.lock_schema)

    def start_run(self, run: Run) -> None:
        """Remember a run as `running`. Again with the same id: no change."""
        with self._writing() as connection:
            if run_number(connection, run.run_id) is not None:
                return
            new = self._database.upsert  # others may start it at this very moment
            connection.execute(new(runs).on_conflict_do_nothing(), run_row(run))
            first = _first_checkpoint(self._require_run(connection, run.run_id))
            connection.execute(new(checkpoints).on_conflict_do_nothing(), first)

    def claim(self, run_id: str) -> Claim:
        """Own the run from now on: raises its epoch, so that commits of earlier owners are `Fenced`."""
        with self._writing() as connection:
            number = self._require_run(connection, run_id)
            connection.execute(
                update(checkpoints).where(checkpoints.c.run == number).values(epoch=checkpoints.c.epoch + 1)
            )
            row = connection.execute(select(checkpoints).where(checkpoints.c.run == number)).one()
            record = run_record(connection.execute(select_records().where(runs.c.id == number)).one())
            checkpoint = Checkpoint(row.next_index, row.confirmed_index, row.tracker_state)
            return Claim(run_id, row.epoch, checkpoint, record, _spilled_bodies(connection, number, row.next_index))

    def commit(self, claim: Claim, batch: Batch) -> None:
        """Rows, outcomes, track summaries, ledger and checkpoint in one transaction, on the disk on return.

        Raises `Fenced` when the run was claimed again since; a frame written before is refused.
        """
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            fence(connection, number, claim, batch.checkpoint)
            rows = batch_rows(number, batch.frames)
            self._insert(connection, rows)
            if rows.seen is not None:
                self._lengthen_paths(connection, number, rows.seen)
            self._append(connection, detections, [(number, *found) for found in sorted(batch.detections.items())])
            add_to_ledger(connection, number, batch, rows)
            drop_spilled(connection, number, batch.checkpoint.next_index)

    def spill(self, claim: Claim, waiting: Mapping[int, bytes]) -> None:
        """Keep the bodies of frames that wait for an earlier one, by index, on the disk on return.

        Raises `Fenced` as `commit` does; an index spilled before keeps its body.
        """
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            fence(connection, number, claim)
            rows = [{"run": number, "frame": frame, "body": body} for frame, body in waiting.items()]
            if rows:
                connection.execute(self._database.upsert(spilled).on_conflict_do_nothing(), rows)

    def end_run(self, claim: Claim, status: RunStatus, frame_count: int) -> None:
        """Set status, end time and `published = frame_count`, and drop what is spilled. `Fenced` as in `commit`."""
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            fence(connection, number, claim)
            ending = {"status": status.value, "ended_at": utc_now(), "published": frame_count}
            connection.execute(update(runs).where(runs.c.id == number).values(ending))
            connection.execute(delete(spilled).where(spilled.c.run == number))

    def prune(self, run_ids: Sequence[str]) -> None:
        """Forget runs and everything of them, running ones too; a run that is not there is forgotten already.

        In parts, each in a transaction, so that other writers need not wait for long. A crash in the middle leaves a
        run that is `interrupted` and counts no frames; the next call, whatever it is asked for, finishes it.
        """
        with self._writing() as connection:
            numbers = half_pruned(connection)
        for run_id in run_ids:
            with self._writing() as connection:
                if (number := run_number(connection, run_id)) is not None:
                    begin_pruning(connection, number)
                    numbers.append(number)
        for number in numbers:
            while self._prune_part(number):
                time.sleep(_BREATH)

    def vacuum(self) -> None:
        """Give the room of what was forgotten back to the disk. Other writers wait as long as it takes."""
        with self._alone():
            self._database.vacuum()

    def size(self) -> int:
        """Bytes that the database takes on its disk."""
        with explained(self._database):
            return self._database.size()

    def close(self) -> None:
        """Give everything back; idempotent. Rows being read stay readable until their iterator is done."""
        self._database.close()

    def _require_run(self, connection: Connection, run_id: str) -> int:
        number = run_number(connection, run_id)
        if number is None:
            raise NotFound(no_run(connection, self._database.name, run_id))
        return number

    def _insert(self, connection: Connection, rows: BatchRows) -> None:
        self._append(connection, frames, rows.frames)
        self._append(connection, failures, rows.failures)
        self._append(connection, observations, rows.observations)
        if rows.seen is not None:
            connection.execute(self._add_classes, _named(classes, rows.classes))
            connection.execute(self._add_to_tracks, _named(tracks, rows.tracks))

    def _append(self, connection: Connection, table: Table, rows: Sequence[TableRow]) -> None:
        if rows:
            self._database.append(connection, table, rows)

    def _lengthen_paths(self, connection: Connection, number: int, seen: Seen) -> None:
        """Go on where the stored paths end, whoever wrote them."""
        ids = np.unique(seen.track).tolist()
        after = paths_after(seen, stored_paths(connection, number, ids))
        rows = [(number, track, *path) for track, path in after.items()]
        connection.execute(self._replace_paths, _named(paths, rows))

    def _prune_part(self, number: int) -> bool:
        with self._writing() as connection:
            return prune_part(connection, number)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._alone() as engine, engine.begin() as connection:
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Engine]:
        """Writing, with every other writer kept out that the database cannot bear."""
        engine = self._database.writer
        if engine is None:
            raise StoreError(f"cannot write to {self._database.name}: it was opened for reading only")
        with explained(self._database), self._database.alone():
            yield engine


def _first_checkpoint(number: int) -> dict[str, Any]:
    return {"run": number, "epoch": 0, "next_index": 0, "confirmed_index": 0, "tracker_state": b""}


def _spilled_bodies(connection: Connection, number: int, first: int) -> tuple[bytes, ...]:
    waiting = select(spilled.c.body).where(spilled.c.run == number, spilled.c.frame >= first)
    return tuple(connection.scalars(waiting.order_by(spilled.c.frame)))


def _named(table: Table, rows: Sequence[TableRow]) -> list[dict[str, Any]]:
    names = table.columns.keys()
    return [dict(zip(names, row, strict=True)) for row in rows]
