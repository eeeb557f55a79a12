"""Room for frames that wait for an earlier one, and an index that finds the runs of one status."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text


def upgrade(connection: Connection) -> None:
    """Create the table and the index."""
    _spilled.create(connection)
    _runs_by_status.create(connection)


_metadata = MetaData()

_runs = Table(
    "runs",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)
_runs_by_status = Index("runs_by_status", _runs.c.status, _runs.c.started_at)

_spilled = Table(
    "spilled",
    _metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("frame", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
