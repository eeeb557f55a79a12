"""The store on SQLAlchemy Core, and the factory of stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, case, delete, insert, select, update

from yolotrack.errors import Fenced, NotFound, StoreError
from yolotrack.model import Run, RunStatus, utc_now
from yolotrack.store import sqlite
from yolotrack.store.base import Batch, Checkpoint, Claim
from yolotrack.store.database import Database, explained
from yolotrack.store.migrations import migrate, require_current
from yolotrack.store.queries import run_number, select_records
from yolotrack.store.reading import Reader, no_run
from yolotrack.store.rows import BatchRows, batch_rows, run_record, run_row
from yolotrack.store.schema import checkpoints, classes, failures, frames, observations, runs, spilled, tracks

if TYPE_CHECKING:
    from yolotrack.config import DatabaseSettings


def open_store(settings: DatabaseSettings, *, read_only: bool = False) -> SQLStore:
    """Open the database that the settings name; make it, or bring its schema up to date, unless `read_only`.

    `read_only` changes nothing, creates no file, and refuses calls that write. Raises `StoreError`.
    """
    store = SQLStore(sqlite.open_database(settings.url, read_only=read_only))
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


class SQLStore(Reader):
    """`Store` over one `Database`: transactions that write, each alone where it must be, and questions beside them."""

    def __init__(self, database: Database) -> None:
        """`open_store` makes these."""
        super().__init__(database)
        self._insert_observations = str(insert(observations).compile(database.reader))

    def prepare(self) -> None:
        """Bring the schema up to date; without a writer, refuse one that is not."""
        if self._database.writer is None:
            with explained(self._database), self._database.reader.connect() as connection:
                return require_current(connection)
        with self._alone() as engine:
            migrate(engine)

    def start_run(self, run: Run) -> None:
        """Remember a run as `running`. Again with the same id: no change."""
        with self._writing() as connection:
            if run_number(connection, run.run_id) is not None:
                return
            connection.execute(insert(runs), run_row(run))
            connection.execute(insert(checkpoints), _first_checkpoint(self._require_run(connection, run.run_id)))

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
        checkpoint = batch.checkpoint
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            _fence(
                connection,
                number,
                claim,
                next_index=checkpoint.next_index,
                confirmed_index=checkpoint.confirmed_index,
                tracker_state=checkpoint.tracker_state,
            )
            rows = batch_rows(number, batch.frames)
            self._insert(connection, rows)
            connection.execute(update(runs).where(runs.c.id == number).values(_ledger(batch, rows)))
            connection.execute(delete(spilled).where(spilled.c.run == number, spilled.c.frame < checkpoint.next_index))

    def spill(self, claim: Claim, waiting: Mapping[int, bytes]) -> None:
        """Keep the bodies of frames that wait for an earlier one, by index, on the disk on return.

        Raises `Fenced` as `commit` does; an index spilled before keeps its body.
        """
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            _fence(connection, number, claim, epoch=claim.epoch)
            rows = [{"run": number, "frame": frame, "body": body} for frame, body in waiting.items()]
            if rows:
                connection.execute(self._database.upsert(spilled).on_conflict_do_nothing(), rows)

    def end_run(self, claim: Claim, status: RunStatus, frame_count: int) -> None:
        """Set status, end time and `published = frame_count`, and drop what is spilled. `Fenced` as in `commit`."""
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            _fence(connection, number, claim, epoch=claim.epoch)
            ending = {"status": status.value, "ended_at": utc_now(), "published": frame_count}
            connection.execute(update(runs).where(runs.c.id == number).values(ending))
            connection.execute(delete(spilled).where(spilled.c.run == number))

    def close(self) -> None:
        """Give everything back; idempotent. Rows being read stay readable until their iterator is done."""
        self._database.close()

    def _require_run(self, connection: Connection, run_id: str) -> int:
        number = run_number(connection, run_id)
        if number is None:
            raise NotFound(no_run(connection, self._database.name, run_id))
        return number

    def _insert(self, connection: Connection, rows: BatchRows) -> None:
        upsert = self._database.upsert
        for table, values in (
            (insert(frames), rows.frames),
            (insert(failures), rows.failures),
            (upsert(classes).on_conflict_do_nothing(), rows.classes),
            (_adding(upsert(tracks)), rows.tracks),
        ):
            if values:
                connection.execute(table, values)
        if rows.observations:  # past Core, which takes longer over each row than SQLite does
            connection.exec_driver_sql(self._insert_observations, rows.observations)

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


def _fence(connection: Connection, number: int, claim: Claim, **values: Any) -> None:
    """Write the run's checkpoint as its owner, or raise."""
    mine = (checkpoints.c.run == number) & (checkpoints.c.epoch == claim.epoch)
    if connection.execute(update(checkpoints).where(mine).values(values)).rowcount != 1:
        raise Fenced(f"run {claim.run_id} was taken over since epoch {claim.epoch}: this owner must stop")


def _spilled_bodies(connection: Connection, number: int, first: int) -> tuple[bytes, ...]:
    waiting = select(spilled.c.body).where(spilled.c.run == number, spilled.c.frame >= first)
    return tuple(connection.scalars(waiting.order_by(spilled.c.frame)))


def _adding(new: Any) -> Any:
    """That upsert of tracks, adding to the sums that are there."""
    return new.on_conflict_do_update(
        index_elements=[tracks.c.run, tracks.c.track, tracks.c.class_id],
        set_={
            "observations": tracks.c.observations + new.excluded.observations,
            "confidence_sum": tracks.c.confidence_sum + new.excluded.confidence_sum,
            "last_frame": new.excluded.last_frame,
            "last_time": new.excluded.last_time,
        },
    )


def _ledger(batch: Batch, rows: BatchRows) -> dict[str, Any]:
    """New values of the run's columns. Every frame with an outcome was published, whatever the batch knows."""
    published = max(batch.published, batch.checkpoint.next_index)
    described = {"model_digest": batch.model_digest, "model": batch.model, "tracker": batch.tracker}
    return {
        "published": case((runs.c.published < published, published), else_=runs.c.published),
        **{outcome: runs.c[outcome] + count for outcome, count in rows.outcomes.items()},
        **{column: value for column, value in described.items() if value},
    }
