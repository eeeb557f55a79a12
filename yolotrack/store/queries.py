"""What the store asks of its tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select, tuple_

from yolotrack.model import RunStatus
from yolotrack.store.schema import classes, failures, frames, observations, runs, tracks

_RUN_NUMBER = select(runs.c.id).where(runs.c.run_id == bindparam("wanted"))


def run_number(connection: Connection, run_id: str) -> int | None:
    """What a run goes by inside; None when there is no such run."""
    return connection.scalar(_RUN_NUMBER, {"wanted": run_id})


def class_names(connection: Connection, number: int) -> dict[int, str]:
    """The names of a run's classes by their ids."""
    query = select(classes.c.class_id, classes.c.name).where(classes.c.run == number)
    return {row.class_id: row.name for row in connection.execute(query)}


def select_records() -> Select[Any]:
    """Runs with the count of their tracks, which costs a look at all tracks of each run selected."""
    count = select(func.count(tracks.c.track.distinct())).where(tracks.c.run == runs.c.id).scalar_subquery()
    return select(runs, count.label("tracks"))


def select_counts() -> Select[Any]:
    """Runs' ids with the count of their observations, which costs a look at all tracks."""
    count = func.coalesce(func.sum(tracks.c.observations), 0).label("observations")
    return select(runs.c.run_id, count).join(tracks, tracks.c.run == runs.c.id, isouter=True).group_by(runs.c.run_id)


def select_listed(status: RunStatus | None) -> Select[Any]:
    """Runs of that status, or all, oldest first."""
    query = select_records().order_by(runs.c.started_at, runs.c.id)
    return query if status is None else query.where(runs.c.status == status.value)


def select_newest_named(name: str, stream: str | None) -> Select[Any]:
    """The run of that id first, then the newest whose ids begin with it; two at most, of one stream if it is named."""
    exact = runs.c.run_id == name
    query = select(runs.c.id, runs.c.run_id).order_by(exact.desc(), runs.c.started_at.desc(), runs.c.id.desc())
    if stream is not None:
        query = query.where(runs.c.stream == stream)
    return (query if name == "latest" else query.where(runs.c.run_id.startswith(name, autoescape=True))).limit(2)


def select_observations(number: int, track_ids: tuple[int, ...], span: tuple[int, int] | None) -> Select[Any]:
    """Frame, its times, track, class, confidence and box, ordered by frame, then track."""
    o = observations.c
    query = (
        select(
            o.frame, o.track, frames.c.media_time, frames.c.captured_at, o.class_id, o.confidence,
            o.x_min, o.y_min, o.x_max, o.y_max,
        )
        .join_from(observations, frames, (frames.c.run == o.run) & (frames.c.frame == o.frame))
        .where(o.run == number)
        .order_by(o.frame, o.track)
    )  # fmt: skip
    if track_ids:  # by their keys: left to itself, SQLite reads the whole run rather than use the tracks' index
        hit = observations.alias("hit").c
        keys = select(hit.run, hit.frame, hit.track).where(hit.run == number, hit.track.in_(track_ids))
        query = query.where(tuple_(o.run, o.frame, o.track).in_(keys))
    if span is not None:
        query = query.where(o.frame >= span[0], o.frame < span[1])
    return query


def select_outcomes(number: int, span: tuple[int, int] | None) -> Select[Any]:
    """Frame, its times, outcome and reason of a lost one, then one track's id, class, confidence and box.

    Ordered by frame, then track. A frame without tracks has one row, of None from the id on.
    """
    f, o = frames.c, observations.c
    query = (
        select(
            f.frame, f.media_time, f.captured_at, failures.c.outcome, failures.c.reason,
            o.track, o.class_id, o.confidence, o.x_min, o.y_min, o.x_max, o.y_max,
        )
        .join_from(frames, failures, (failures.c.run == f.run) & (failures.c.frame == f.frame), isouter=True)
        .join(observations, (o.run == f.run) & (o.frame == f.frame), isouter=True)
        .where(f.run == number)
        .order_by(f.frame, o.track)
    )  # fmt: skip
    return query if span is None else query.where(f.frame >= span[0], f.frame < span[1])
