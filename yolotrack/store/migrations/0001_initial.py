"""The first schema."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import REAL


def upgrade(connection: Connection) -> None:
    """Create every table."""
    _metadata.create_all(connection, checkfirst=False)


_metadata = MetaData()


def _run() -> Column[int]:
    return Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


Table(
    "runs",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("stream", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("rate", Text),
    Column("status", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("model_digest", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tracker", Text, nullable=False),
    Column("published", Integer, nullable=False),
    Column("tracked", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    sqlite_autoincrement=True,
)

Table(
    "classes",
    _metadata,
    _run(),
    _key("class_id"),
    Column("name", Text, nullable=False),
    sqlite_with_rowid=False,
)

Table(
    "frames",
    _metadata,
    _run(),
    _key("frame"),
    Column("media_time", Double, nullable=False),
    Column("captured_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

Table(
    "observations",
    _metadata,
    _run(),
    _key("frame"),
    _key("track"),
    Column("class_id", Integer, nullable=False),
    Column("confidence", REAL, nullable=False),
    Column("x_min", REAL, nullable=False),
    Column("y_min", REAL, nullable=False),
    Column("x_max", REAL, nullable=False),
    Column("y_max", REAL, nullable=False),
    Index("observations_by_track", "run", "track", "frame"),
    sqlite_with_rowid=False,
)

Table(
    "tracks",
    _metadata,
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

Table(
    "failures",
    _metadata,
    _run(),
    _key("frame"),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

Table(
    "checkpoints",
    _metadata,
    _run(),
    Column("epoch", Integer, nullable=False),
    Column("next_index", Integer, nullable=False),
    Column("confirmed_index", Integer, nullable=False),
    Column("tracker_state", LargeBinary, nullable=False),
)
