"""The way of every track, room for detections, and views for readers who come without yolotrack."""

from __future__ import annotations

from math import sqrt
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    insert,
    select,
)
from sqlalchemy.types import REAL

_ROWS_AT_ONCE = 10_000


def upgrade(connection: Connection) -> None:
    """Create tables and views, and give the tracks that are there their paths."""
    _paths.create(connection)
    _detections.create(connection)
    for run in connection.scalars(select(_runs.c.id)).all():
        if paths := _paths_of(connection, run):
            connection.execute(insert(_paths), paths)
    connection.exec_driver_sql(_V_OBSERVATIONS.format(captured_at=_UTC_TEXT[connection.dialect.name]))
    connection.exec_driver_sql(_V_TRACKS)


def _paths_of(connection: Connection, run: int) -> list[dict[str, Any]]:
    """Every step is added on its own, in the order of frames, as a commit does it: so the sums are the same bits."""
    o = _observations.c
    boxes = select(o.track, o.x_min, o.y_min, o.x_max, o.y_max).where(o.run == run).order_by(o.frame, o.track)
    paths: dict[int, list[float]] = {}
    for track, x_min, y_min, x_max, y_max in connection.execute(boxes, execution_options={"yield_per": _ROWS_AT_ONCE}):
        x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
        path = paths.get(track)
        if path is None:
            paths[track] = [0.0, x, y, x, y]
        else:
            dx, dy = x - path[3], y - path[4]
            path[0] += sqrt(dx * dx + dy * dy)
            path[3:] = x, y
    names = [column.name for column in _paths.columns]
    return [dict(zip(names, (run, track, *path), strict=True)) for track, path in paths.items()]


_metadata = MetaData()

_runs = Table("runs", _metadata, Column("id", Integer, primary_key=True))

_observations = Table(
    "observations",
    _metadata,
    *(Column(name, Integer, primary_key=True) for name in ("run", "frame", "track")),
    *(Column(name, REAL) for name in ("x_min", "y_min", "x_max", "y_max")),
)


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


def _run() -> Column[int]:
    return Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)


_paths = Table(
    "paths",
    _metadata,
    _run(),
    _key("track"),
    *(Column(name, Double, nullable=False) for name in ("length", "entry_x", "entry_y", "exit_x", "exit_y")),
    sqlite_with_rowid=False,
)

_detections = Table("detections", _metadata, _run(), _key("frame"), Column("body", LargeBinary, nullable=False))

_UTC_TEXT = {
    "sqlite": (
        "strftime('%Y-%m-%dT%H:%M:%S', frames.captured_at / 1000000, 'unixepoch')"
        " || printf('.%06d+00:00', frames.captured_at % 1000000)"
    ),
    "postgresql": (
        "to_char(timestamp 'epoch' + frames.captured_at * interval '1 microsecond',"
        """ 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
    ),
}

_V_OBSERVATIONS = """
CREATE VIEW v_observations AS
SELECT
    runs.run_id,
    runs.stream,
    observations.frame,
    frames.media_time,
    {captured_at} AS captured_at,
    observations.track AS track_id,
    observations.class_id,
    classes.name AS class_name,
    observations.confidence,
    observations.x_min,
    observations.y_min,
    observations.x_max,
    observations.y_max
FROM observations
JOIN runs ON runs.id = observations.run
JOIN frames ON frames.run = observations.run AND frames.frame = observations.frame
JOIN classes ON classes.run = observations.run AND classes.class_id = observations.class_id
"""

# The class is looked up by keys and everything told is grouped by, so a condition on a run reaches the tables.
_V_TRACKS = """
CREATE VIEW v_tracks AS
SELECT
    runs.run_id,
    runs.stream,
    paths.track AS track_id,
    classes.class_id,
    classes.name AS class_name,
    MIN(tracks.first_frame) AS first_frame,
    MAX(tracks.last_frame) AS last_frame,
    MIN(tracks.first_time) AS first_time,
    MAX(tracks.last_time) AS last_time,
    MAX(tracks.last_time) - MIN(tracks.first_time) AS duration,
    SUM(tracks.observations) AS observations,
    SUM(tracks.confidence_sum) / SUM(tracks.observations) AS mean_confidence,
    paths.length AS path_length,
    paths.entry_x,
    paths.entry_y,
    paths.exit_x,
    paths.exit_y
FROM paths
JOIN runs ON runs.id = paths.run
JOIN tracks ON tracks.run = paths.run AND tracks.track = paths.track
JOIN classes ON classes.run = paths.run AND classes.class_id = (
    SELECT vote.class_id FROM tracks AS vote
    WHERE vote.run = paths.run AND vote.track = paths.track
    ORDER BY vote.confidence_sum DESC, vote.class_id
    LIMIT 1
)
GROUP BY
    runs.run_id, runs.stream, paths.run, paths.track, classes.class_id, classes.name,
    paths.length, paths.entry_x, paths.entry_y, paths.exit_x, paths.exit_y
"""
