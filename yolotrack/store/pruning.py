"""How a run is forgotten: in parts, so that who writes another run never waits for long."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, func, literal, select, update

from yolotrack.model import RunStatus, utc_now
from yolotrack.store.schema import (
    checkpoints,
    detections,
    failures,
    frames,
    observations,
    paths,
    runs,
    tracks,
)

_ROWS_AT_ONCE = 20_000
_LARGE = (observations, detections, failures, frames)
"""`frames` last: while a run has some, it is known as one that is on its way out."""


def begin_pruning(connection: Connection, number: int) -> None:
    """Take a run from its owner, and the sums from the run: it looks like what it is, not like one that is whole."""
    mine = checkpoints.c.run == number
    connection.execute(update(checkpoints).where(mine).values(epoch=checkpoints.c.epoch + 1))
    end = func.coalesce(runs.c.ended_at, literal(utc_now(), runs.c.ended_at.type))
    ended = {"status": RunStatus.INTERRUPTED.value, "ended_at": end}
    counts = {"published": 0, "tracked": 0, "failed": 0, "dropped": 0}
    connection.execute(update(runs).where(runs.c.id == number).values(ended | counts))
    for table in (tracks, paths):
        connection.execute(delete(table).where(table.c.run == number))


def prune_part(connection: Connection, number: int) -> bool:
    """Delete many rows of a run, or else the run with all that is left; whether there is more."""
    for table in _LARGE:
        of_run = table.c.run == number
        part = select(table.c.frame).where(of_run).order_by(table.c.frame).offset(_ROWS_AT_ONCE).limit(1)
        last = connection.scalar(part)
        if last is not None:
            connection.execute(delete(table).where(of_run, table.c.frame <= last))
            return True
    connection.execute(delete(runs).where(runs.c.id == number))
    return False


def half_pruned(connection: Connection) -> list[int]:
    """Runs that a call which died in the middle left: with frames, of which none was ever published."""
    left = exists().where(frames.c.run == runs.c.id)
    return list(connection.scalars(select(runs.c.id).where(runs.c.published == 0, left)))
