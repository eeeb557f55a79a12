"""The tables as this version of yolotrack reads and writes them; the migrations bring a database here.

    runs 1──n frames 1──n observations        every frame has one row in `frames`, whatever its outcome;
     │         └──1 failures                  `failures` holds the outcome and reason of those not tracked
     ├──n classes                             names, once per run
     ├──n tracks                              sums per track and class, kept with the observations they sum
     ├──n paths                               the way of each track, kept with the observations it leads through
     ├──n detections                          what the detector found in a frame, where the user asked to keep it
     ├──n spilled                             messages of frames that wait for an earlier one; gone when its turn came
     └──1 checkpoints                         who writes the run, and where they are

A run goes by a small number inside and by its `run_id` outside. Times are microseconds since 1970, UTC.
For readers who come without yolotrack there are the views `v_observations` and `v_tracks`; the migrations make them.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import REAL, TypeDecorator

from yolotrack.errors import StoreError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Since 1970, UTC; exact. `StoreError` for a time without its zone."""
    if moment.tzinfo is None:
        raise StoreError(f"the time {moment} does not say its zone")
    return (moment - _EPOCH) // _MICROSECOND


class UtcTime(TypeDecorator[datetime]):
    """A moment, exact to the microsecond: aware datetimes in, UTC out."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Microseconds since the epoch."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The moment, in UTC."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData()


def _run() -> Column[int]:
    return Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


schema_migrations = Table(
    "schema_migrations",
    metadata,
    _key("version"),
    Column("name", Text, nullable=False),
    Column("applied_at", UtcTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("stream", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("rate", Text),
    Column("status", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("model_digest", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tracker", Text, nullable=False),
    Column("published", Integer, nullable=False),
    Column("tracked", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("last_outcome_at", UtcTime),
    sqlite_autoincrement=True,  # the number of a deleted run must never mean another one
)
Index("runs_by_status", runs.c.status, runs.c.started_at)

classes = Table(
    "classes",
    metadata,
    _run(),
    _key("class_id"),
    Column("name", Text, nullable=False),
    sqlite_with_rowid=False,
)

frames = Table(
    "frames",
    metadata,
    _run(),
    _key("frame"),
    Column("media_time", Double, nullable=False),
    Column("captured_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

observations = Table(
    "observations",
    metadata,
    _run(),
    _key("frame"),
    _key("track"),
    Column("class_id", Integer, nullable=False),
    Column("confidence", REAL, nullable=False),
    Column("x_min", REAL, nullable=False),
    Column("y_min", REAL, nullable=False),
    Column("x_max", REAL, nullable=False),
    Column("y_max", REAL, nullable=False),
    sqlite_with_rowid=False,
)
Index("observations_by_track", observations.c.run, observations.c.track, observations.c.frame)

tracks = Table(
    "tracks",
    metadata,
    _run(),
    _key("track"),
    _key("class_id"),
    Column("observations", Integer, nullable=False),
    Column("confidence_sum", Double, nullable=False),
    Column("first_frame", Integer, nullable=False),
    Column("last_frame", Integer, nullable=False),
    Column("first_time", Double, nullable=False),
    Column("last_time", Double, nullable=False),
    sqlite_with_rowid=False,
)

paths = Table(
    "paths",
    metadata,
    _run(),
    _key("track"),
    Column("length", Double, nullable=False),
    Column("entry_x", Double, nullable=False),
    Column("entry_y", Double, nullable=False),
    Column("exit_x", Double, nullable=False),
    Column("exit_y", Double, nullable=False),
    sqlite_with_rowid=False,
)

failures = Table(
    "failures",
    metadata,
    _run(),
    _key("frame"),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _run(),
    Column("epoch", Integer, nullable=False),
    Column("next_index", Integer, nullable=False),
    Column("confirmed_index", Integer, nullable=False),
    Column("tracker_state", LargeBinary, nullable=False),
)

detections = Table(
    "detections",
    metadata,
    _run(),
    _key("frame"),
    Column("body", LargeBinary, nullable=False),
)

spilled = Table(
    "spilled",
    metadata,
    _run(),
    _key("frame"),
    Column("body", LargeBinary, nullable=False),
)
