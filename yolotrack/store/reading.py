"""Questions to the store: read-only, streaming, each over one moment of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from yolotrack.errors import NotFound
from yolotrack.model import FrameTracks, Observation, RunRecord, RunStatus, TrackSummary
from yolotrack.store.database import Database, explained
from yolotrack.store.queries import (
    class_names,
    select_listed,
    select_newest_named,
    select_observations,
    select_outcomes,
    select_records,
)
from yolotrack.store.rows import frame_outcomes, observation, run_record, track_summaries
from yolotrack.store.schema import runs, tracks

_ROWS_AT_ONCE = 1000
_NAMED_RUNS = 5


class Reader:
    """The questions of `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
                raise NotFound(no_run(connection, self._database.name, name))
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
                raise NotFound(no_run(connection, self._database.name, run_id))
            return found

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self._database), self._database.reader.connect() as connection:
            yield connection.execution_options(yield_per=_ROWS_AT_ONCE)


def no_run(connection: Connection, database: str, name: str) -> str:
    """That there is no such run, and which there are."""
    query = select(runs.c.run_id, runs.c.stream).order_by(runs.c.started_at.desc(), runs.c.id.desc())
    newest = [f"{row.run_id} ({row.stream})" for row in connection.execute(query.limit(_NAMED_RUNS))]
    if not newest:
        return f"{database} holds no runs yet: `yolotrack run` makes one"
    count = connection.scalar(select(func.count()).select_from(runs))
    return f"no run {name!r} in {database}; the newest of {count}: {', '.join(newest)}"
