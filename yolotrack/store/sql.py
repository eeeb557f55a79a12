"""The store on SQLAlchemy Core. SQLite today; what is peculiar to it is in `sqlite.py`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, case, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import SQLAlchemyError

from yolotrack.errors import Fenced, NotFound, StoreError
from yolotrack.model import FrameTracks, Observation, Run, RunRecord, RunStatus, TrackSummary, utc_now
from yolotrack.store import sqlite
from yolotrack.store.base import Batch, Checkpoint, Claim
from yolotrack.store.migrations import UnfitSchema, migrate, require_current
from yolotrack.store.queries import (
    class_names,
    run_number,
    select_listed,
    select_newest_named,
    select_observations,
    select_outcomes,
    select_records,
)
from yolotrack.store.rows import (
    BatchRows,
    batch_rows,
    frame_outcomes,
    observation,
    run_record,
    run_row,
    track_summaries,
)
from yolotrack.store.schema import checkpoints, classes, failures, frames, observations, runs, spilled, tracks

if TYPE_CHECKING:
    from yolotrack.config import DatabaseSettings

_ROWS_AT_ONCE = 1000
_NAMED_RUNS = 5


def open_store(settings: DatabaseSettings, *, read_only: bool = False) -> SQLStore:
    """Open the database that the settings name; make it, or bring its schema up to date, unless `read_only`.

    `read_only` changes nothing, creates no file, and refuses calls that write. Raises `StoreError`.
    """
    path = sqlite.sqlite_path(settings.url)
    if path.is_dir():
        raise StoreError(f"cannot use {path}: it is a folder: name a file with --db")
    if read_only and not path.exists():
        raise StoreError(f"no database at {path}: `yolotrack run` makes one, or name another with --db")
    store = SQLStore(
        path,
        reader=sqlite.reading_engine(path),
        writer=None if read_only else sqlite.writing_engine(path),
    )
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


class SQLStore:
    """`Store` over two engines: one connection that writes, under locks, and as many that read as are asked for."""

    def __init__(self, path: Path, *, reader: Engine, writer: Engine | None) -> None:
        """`open_store` makes these."""
        self._path = path
        self._reader = reader
        self._writer = writer
        self._writing_lock = threading.Lock()
        self._lock_file = sqlite.lock_file(path)
        self._insert_observations = str(insert(observations).compile(reader))

    def prepare(self) -> None:
        """Bring the schema up to date; without a writer, refuse one that is not."""
        if self._writer is None:
            with self._explained(), self._reader.connect() as connection:
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
            _insert(connection, rows)
            if rows.observations:  # past Core, which takes longer over each row than SQLite does
                connection.exec_driver_sql(self._insert_observations, rows.observations)
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
                connection.execute(upsert(spilled).on_conflict_do_nothing(), rows)

    def end_run(self, claim: Claim, status: RunStatus, frame_count: int) -> None:
        """Set status, end time and `published = frame_count`, and drop what is spilled. `Fenced` as in `commit`."""
        with self._writing() as connection:
            number = self._require_run(connection, claim.run_id)
            _fence(connection, number, claim, epoch=claim.epoch)
            ending = {"status": status.value, "ended_at": utc_now(), "published": frame_count}
            connection.execute(update(runs).where(runs.c.id == number).values(ending))
            connection.execute(delete(spilled).where(spilled.c.run == number))

    def runs(self, status: RunStatus | None = None) -> Iterator[RunRecord]:
        """Every run, or every one of that status, oldest first."""
        return map(run_record, self._stream(select_listed(status)))

    def find_run(self, name: str, *, stream: str | None = None) -> RunRecord:
        """By id, unique prefix of an id, or "latest"; of one stream alone if one is named.

        `NotFound` names what there is.
        """
        with self._reading() as connection:
            found = connection.execute(select_newest_named(name, stream)).all()
            if not found:
                raise NotFound(self._no_run(connection, name))
            if len(found) == 2 and name not in ("latest", found[0].run_id):
                both = f"{found[1].run_id} and {found[0].run_id} do"
                raise NotFound(f"more than one run begins with {name!r}: {both}")
            return run_record(connection.execute(select_records().where(runs.c.id == found[0].id)).one())

    def observations(
        self, run_id: str, *, track_ids: tuple[int, ...] = (), frames: tuple[int, int] | None = None
    ) -> Iterator[Observation]:
        """Rows ordered by frame, then track, in flat memory; `frames` is a half-open range of indexes."""
        run = self._run(run_id)
        return self._observations(run, select_observations(run.id, track_ids, frames))

    def outcomes(self, run_id: str, frames: tuple[int, int] | None = None) -> Iterator[FrameTracks]:
        """Every frame that has an outcome, in order, with its tracks as they were committed, ordered by id."""
        run = self._run(run_id)
        return self._outcomes(run, select_outcomes(run.id, frames))

    def tracks(self, run_id: str) -> Iterator[TrackSummary]:
        """One summary a track, ordered by id."""
        return self._tracks(self._run(run_id))

    def close(self) -> None:
        """Give everything back; idempotent. Rows being read stay readable until their iterator is done."""
        with self._writing_lock:
            self._reader.dispose()
            if self._writer is not None:
                self._writer.dispose()

    def _observations(self, run: Row[Any], query: Select[Any]) -> Iterator[Observation]:
        with self._reading() as connection:
            names = class_names(connection, run.id)
            for row in connection.execute(query):
                yield observation(row, run.run_id, run.stream, names)

    def _outcomes(self, run: Row[Any], query: Select[Any]) -> Iterator[FrameTracks]:
        with self._reading() as connection:
            names = class_names(connection, run.id)
            yield from frame_outcomes(connection.execute(query), run.run_id, run.stream, names)

    def _tracks(self, run: Row[Any]) -> Iterator[TrackSummary]:
        query = select(tracks).where(tracks.c.run == run.id).order_by(tracks.c.track, tracks.c.class_id)
        with self._reading() as connection:
            names = class_names(connection, run.id)
            yield from track_summaries(connection.execute(query), run.run_id, names)

    def _stream(self, query: Select[Any]) -> Iterator[Row[Any]]:
        with self._reading() as connection:
            yield from connection.execute(query)

    def _run(self, run_id: str) -> Row[Any]:
        with self._reading() as connection:
            query: Select[Any] = select(runs).where(runs.c.run_id == run_id)
            found = connection.execute(query).first()
            if found is None:
                raise NotFound(self._no_run(connection, run_id))
            return found

    def _require_run(self, connection: Connection, run_id: str) -> int:
        number = run_number(connection, run_id)
        if number is None:
            raise NotFound(self._no_run(connection, run_id))
        return number

    def _no_run(self, connection: Connection, name: str) -> str:
        query = select(runs.c.run_id, runs.c.stream).order_by(runs.c.started_at.desc(), runs.c.id.desc())
        newest = [f"{row.run_id} ({row.stream})" for row in connection.execute(query.limit(_NAMED_RUNS))]
        if not newest:
            return f"{self._path} holds no runs yet: `yolotrack run` makes one"
        count = connection.scalar(select(func.count()).select_from(runs))
        return f"no run {name!r} in {self._path}; the newest of {count}: {', '.join(newest)}"

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._alone() as engine, engine.begin() as connection:
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Engine]:
        """Writing, with every other writer kept out: threads of this store, then whoever has the file open."""
        if self._writer is None:
            raise StoreError(f"cannot write to {self._path}: it was opened for reading only")
        with self._explained(), self._writing_lock, sqlite.alone(self._lock_file):
            yield self._writer

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained(), self._reader.connect() as connection:
            yield connection.execution_options(yield_per=_ROWS_AT_ONCE)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, UnfitSchema, OSError) as error:
            raise StoreError(f"cannot use {self._path}: {sqlite.explain(error)}") from error


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


def _insert(connection: Connection, rows: BatchRows) -> None:
    for table, values in (
        (insert(frames), rows.frames),
        (insert(failures), rows.failures),
        (upsert(classes).on_conflict_do_nothing(), rows.classes),
        (_adding_to_tracks(), rows.tracks),
    ):
        if values:
            connection.execute(table, values)


def _adding_to_tracks() -> Any:
    new = upsert(tracks)
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
