"""Questions to the store: read-only, streaming, each over one moment of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, func, select

from yolotrack.errors import NotFound
from yolotrack.model import FrameTracks, Observation, RunRecord, RunStatus, TrackSummary
from yolotrack.store.base import Selection
from yolotrack.store.database import Database, explained
from yolotrack.store.queries import (
    class_names,
    select_counts,
    select_listed,
    select_newest_named,
    select_observations,
    select_outcomes,
    select_records,
)
from yolotrack.store.rows import frame_outcomes, observation, run_record, track_summaries
from yolotrack.store.schema import detections, paths, runs, tracks
from yolotrack.store.select import chosen_runs, read_batches, statement
from yolotrack.text import meant, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1000
_NAMED_RUNS = 5
_COMPARED_RUNS = 1000


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
                raise NotFound(no_run(connection, self._database.name, name, stream))
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

    def select(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Observations in columns, `OBSERVATION_COLUMNS`, thousands a batch, in flat memory.

        At least one batch, empty where nothing is selected. `NotFound`, at once, for a run that is not there, and for
        a class that none of the runs knows.
        """
        with self._reading() as connection:
            chosen_runs(connection, selection, self._no_run)
        return self._select(selection)

    def sql(self, selection: Selection) -> str:
        """A statement that selects the same, to be run in a shell of the database; `NotFound` as in `select`."""
        with self._reading() as connection:
            return statement(connection.dialect, selection, chosen_runs(connection, selection, self._no_run))

    def observation_counts(self) -> Mapping[str, int]:
        """How many observations each run has, by its id."""
        return {row.run_id: row.observations for row in self._stream(select_counts())}

    def detections(self, run_id: str) -> Iterator[tuple[int, bytes]]:
        """Index and body of every frame whose detections were kept, in index order, in flat memory."""
        run = self._run(run_id)
        query = select(detections.c.frame, detections.c.body).where(detections.c.run == run.id)
        return map(tuple, self._stream(query.order_by(detections.c.frame)))

    def _select(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        with self._reading() as connection:
            yield from read_batches(connection, selection, chosen_runs(connection, selection, self._no_run))

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
        way = (paths.c.run == tracks.c.run) & (paths.c.track == tracks.c.track)
        query = select(tracks, *paths.columns[2:]).join_from(tracks, paths, way).where(tracks.c.run == run.id)
        with self._reading() as connection:
            names = class_names(connection, run.id)
            ordered = query.order_by(tracks.c.track, tracks.c.class_id)
            yield from track_summaries(connection.execute(ordered), run.run_id, names)

    def _stream(self, query: Select[Any]) -> Iterator[Row[Any]]:
        with self._reading() as connection:
            yield from connection.execute(query)

    def _run(self, run_id: str) -> Row[Any]:
        with self._reading() as connection:
            query: Select[Any] = select(runs).where(runs.c.run_id == run_id)
            found = connection.execute(query).first()
            if found is None:
                raise self._no_run(connection, run_id)
            return found

    def _no_run(self, connection: Connection, run_id: str) -> NotFound:
        return NotFound(no_run(connection, self._database.name, run_id))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self._database), self._database.reader.connect() as connection, connection.begin():
            yield connection.execution_options(yield_per=_ROWS_AT_ONCE)


def no_run(connection: Connection, database: str, name: str, stream: str | None = None) -> str:
    """That there is no such run, or none of such a stream, and which there are: those meant perhaps, or the newest."""
    query: Select[Any] = select(runs.c.run_id, runs.c.stream).order_by(runs.c.started_at.desc(), runs.c.id.desc())
    if connection.execute(query.limit(1)).first() is None:
        return f"{database} holds no runs yet: `yolotrack run` makes one"
    if stream is not None:
        known = list(connection.scalars(select(runs.c.stream).distinct().order_by(runs.c.stream)))
        if stream not in known:
            hint = meant(stream, known, f"there are {', '.join(known[:_NAMED_RUNS])}")
            return f"no stream {stream!r} in {database}; {hint}"
        query = query.where(runs.c.stream == stream)
    newest = [(row.run_id, f"{row.run_id} ({row.stream})") for row in connection.execute(query.limit(_COMPARED_RUNS))]
    beginnings = {run_id[: len(name)]: text for run_id, text in reversed(newest)}
    if near := nearest(name, beginnings):
        return f"no run {name!r} in {database}; the nearest: {', '.join(map(beginnings.__getitem__, near))}"
    count = connection.scalar(select(func.count()).select_from(query.subquery()))
    some = ", ".join(text for _, text in newest[:_NAMED_RUNS])
    return f"no run {name!r} in {database}; the newest of {count}: {some}"
