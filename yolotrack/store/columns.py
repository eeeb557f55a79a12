"""Rows of observations as Arrow columns: from the driver straight into numpy.

Past SQLAlchemy's own rows and past a value for each observation, which together take three times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sqlalchemy import BigInteger, Connection, Select, select, type_coerce

from yolotrack.store.base import OBSERVATION_COLUMNS
from yolotrack.store.schema import frames

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1000
"""Fetched: few enough to stay in the processor's cache until they are columns."""
_FETCHES_A_BATCH = 8
_CLASS_BITS = 32

Kinds: TypeAlias = Sequence[tuple[str, type[np.generic]]]

ROWS: Kinds = (
    ("run", np.int64),
    ("frame", np.int64),
    ("tracker_id", np.int64),
    ("class_id", np.int64),
    ("confidence", np.float32),
    ("x_min", np.float32),
    ("y_min", np.float32),
    ("x_max", np.float32),
    ("y_max", np.float32),
)
"""What a query selects of observations, in order, and as what it is kept."""
TIMES: Kinds = (("media_time", np.float64), ("captured_at", np.int64))
"""And of their frames, after that."""


@dataclass(frozen=True, slots=True)
class ChosenRun:
    """A run of a selection."""

    number: int
    run_id: str
    stream: str
    names: Mapping[int, str]
    """Of its classes, by their ids."""
    wanted: frozenset[int] | None
    """Ids of the classes selected; None selects all."""


def columns_of(connection: Connection, query: Select[Any], *, timed: bool) -> Iterator[dict[str, Any]]:
    """What a query finds, thousands of rows at once: `ROWS`, and `TIMES` if it selects them.

    A query that does not is of one run, ordered by frame. What it finds gets its times all the same: to look them up
    for each frame takes half the time of a join, which looks them up for each observation.
    """
    kinds = (*ROWS, *TIMES) if timed else ROWS
    fetched = (_as_arrays(rows, kinds) for rows in _fetched(connection, query))
    while parts := list(islice(fetched, _FETCHES_A_BATCH)):
        arrays = map(np.concatenate, zip(*parts, strict=True))
        columns = dict(zip((name for name, _ in kinds), arrays, strict=True))
        yield columns if timed else columns | _times(connection, columns["run"][0], columns["frame"])


def _times(connection: Connection, number: int, frame: Any) -> dict[str, Any]:
    """Of observations ordered by frame."""
    f = frames.c
    query = select(f.frame, f.media_time, moment(f.captured_at)).where(f.run == int(number))
    query = query.where(f.frame.between(int(frame[0]), int(frame[-1]))).order_by(f.frame)
    kinds = (("frame", np.int64), *TIMES)
    parts = [_as_arrays(rows, kinds) for rows in _fetched(connection, query)]
    known, *times = map(np.concatenate, zip(*parts, strict=True))
    of_row = np.searchsorted(known, frame)
    return {name: values[of_row] for (name, _), values in zip(TIMES, times, strict=True)}


def moment(captured_at: Any) -> Any:
    """As the integer it is stored as: a datetime for each row would take longer than the query."""
    return type_coerce(captured_at, BigInteger)


def _fetched(connection: Connection, query: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The driver's own rows."""
    with connection.execute(query) as result:
        while rows := result.cursor_strategy.fetchmany(result, result.cursor, _ROWS_AT_ONCE):
            yield rows


def _as_arrays(rows: Sequence[tuple[Any, ...]], kinds: Kinds) -> list[Any]:
    columns = zip(kinds, zip(*rows, strict=True), strict=True)
    return [np.fromiter(values, kind, len(rows)) for (_, kind), values in columns]


class Assembly:
    """Makes batches of what was fetched: numbers of runs and classes become names."""

    def __init__(self, chosen: Sequence[ChosenRun]) -> None:
        """Of rows of these runs."""
        by_number = sorted(chosen, key=lambda run: run.number)
        named = sorted((_class_key(run.number, of), name) for run in chosen for of, name in run.names.items())
        self._numbers = np.array([run.number for run in by_number], np.int64)
        self._run_ids = [run.run_id for run in by_number]
        self._streams = [run.stream for run in by_number]
        self._keys = np.array([key for key, _ in named], np.int64)
        self._names = [name for _, name in named]

    def __call__(self, columns: Mapping[str, Any]) -> pa.RecordBatch:
        """`OBSERVATION_COLUMNS` of one batch."""
        import pyarrow as pa

        run = np.searchsorted(self._numbers, columns["run"])
        kind = np.searchsorted(self._keys, _class_key(columns["run"], columns["class_id"]))
        texts = {"class_name": (self._names, kind), "stream": (self._streams, run), "run_id": (self._run_ids, run)}
        values = {
            **{name: pa.array(columns[name]) for name, _ in (*ROWS[1:], *TIMES)},
            **{name: pa.array(known, pa.string()).take(pa.array(index)) for name, (known, index) in texts.items()},
            "captured_at": pa.array(columns["captured_at"]).cast(pa.timestamp("us", "UTC")),
        }
        return pa.record_batch({name: values[name] for name in OBSERVATION_COLUMNS})


def _class_key(run: Any, class_id: Any) -> Any:
    """One number for both."""
    return (run << _CLASS_BITS) + class_id
