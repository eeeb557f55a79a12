"""When frames of a run last got their outcome, so that anybody can see a run that stands still."""

from __future__ import annotations

from sqlalchemy import Connection, text


def upgrade(connection: Connection) -> None:
    """Add the column: microseconds since 1970, UTC; NULL in runs that were written before."""
    connection.execute(text("ALTER TABLE runs ADD COLUMN last_outcome_at BIGINT"))
