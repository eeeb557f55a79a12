"""The views that are there for who comes without yolotrack, over every kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stores import batch_of, claimed, lost, make_run, told, tracked, wandering
from yolotrack.config import DatabaseSettings
from yolotrack.store.sql import SQLStore, open_store

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def store(database_url: str) -> Iterator[SQLStore]:
    """A fresh store, in a database of each kind."""
    opened = open_store(DatabaseSettings(url=database_url))
    yield opened
    opened.close()


def test_views_tell_what_the_store_tells(store: SQLStore) -> None:
    for minute in range(2):
        claim = claimed(store, run := make_run(f"cam-{minute}", minute=minute))
        frames = [lost(run, index) if index % 10 == 9 else wandering(run, index) for index in range(60)]
        store.commit(claim, batch_of([*frames, tracked(run, 60, ids=(20, 21), class_id=(7, 0))]))
        store.commit(claim, batch_of([tracked(run, 61, ids=(20,), class_id=(2,))]))
    rows = [row for record in store.runs() for row in store.observations(record.run.run_id)]
    assert told(store, "SELECT * FROM v_observations ORDER BY stream, frame, track_id") == [
        {
            "run_id": row.run_id,
            "stream": row.stream,
            "frame": row.frame,
            "media_time": row.media_time,
            "captured_at": row.captured_at.isoformat(timespec="microseconds"),
            "track_id": row.track_id,
            "class_id": row.class_id,
            "class_name": row.class_name,
            "confidence": row.confidence,
            **dict(zip(("x_min", "y_min", "x_max", "y_max"), row.xyxy, strict=True)),
        }
        for row in rows
    ]
    tracks = [(record.run, track) for record in store.runs() for track in store.tracks(record.run.run_id)]
    assert [track.class_name for _, track in tracks if track.track_id == 20] == ["car"] * 2, "a tie"
    assert told(store, "SELECT * FROM v_tracks ORDER BY stream, track_id") == [
        {
            "run_id": track.run_id,
            "stream": run.stream,
            "track_id": track.track_id,
            "class_id": track.class_id,
            "class_name": track.class_name,
            "first_frame": track.first_frame,
            "last_frame": track.last_frame,
            "first_time": track.first_time,
            "last_time": track.last_time,
            "duration": track.last_time - track.first_time,
            "observations": track.observations,
            "mean_confidence": track.mean_confidence,
            "path_length": track.path_length,
            "entry_x": track.entry[0],
            "entry_y": track.entry[1],
            "exit_x": track.exit[0],
            "exit_y": track.exit[1],
        }
        for run, track in tracks
    ]
