"""Runs, frames and batches to put into a store, and all that comes out of it again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
from sqlalchemy import text

from yolotrack.config import DatabaseSettings
from yolotrack.model import FrameTracks, Mode, Outcome, Run, new_run_id
from yolotrack.store.base import Batch, Checkpoint, Claim, Store
from yolotrack.store.sql import SQLStore, open_store

BEGIN = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=timezone.utc)
REPOSITORY = Path(__file__).resolve().parents[2]
WITH_SUPPORT = "from tests.support.stores import *\nimport sys, pathlib\npath = pathlib.Path(sys.argv[1])\n"
"""How the code of a process of its own begins."""
NAMES = {0: "person", 2: "car", 7: "truck"}


def settings_of(path: Path) -> DatabaseSettings:
    """Settings that name a SQLite file."""
    return DatabaseSettings(url=f"sqlite:///{path}")


def open_file(path: Path, *, read_only: bool = False) -> SQLStore:
    """The store in a SQLite file."""
    return open_store(settings_of(path), read_only=read_only)


def make_run(stream: str = "cam", *, minute: int = 0, run_id: str = "", rate: Fraction | None = Fraction(25)) -> Run:
    """A run that began `minute` minutes after `BEGIN`."""
    started = BEGIN + timedelta(minutes=minute)
    return Run(run_id or new_run_id(), stream, f"videos/{stream}.mp4", started, Mode.ARCHIVE, 1280, 720, rate)


def tracked(run: Run, index: int, ids: Sequence[int] = (1, 2), **columns: Sequence[Any]) -> FrameTracks:
    """Frame `index` with tracks `ids`: cars of confidence 0.5, unless `class_id` and `confidence` say otherwise."""
    class_id = np.array(columns.get("class_id", [2] * len(ids)), dtype=int)
    tracks = sv.Detections(
        xyxy=np.array([box_of(index, track) for track in ids], np.float32).reshape(-1, 4),
        confidence=np.array(columns.get("confidence", [0.5] * len(ids)), np.float32),
        class_id=class_id,
        tracker_id=np.array(ids, dtype=int),
        data={"class_name": np.array([NAMES[number] for number in class_id.tolist()], dtype=str)},
    )
    return _frame(run, index, Outcome.TRACKED, tracks)


def wandering(run: Run, index: int) -> FrameTracks:
    """Frame `index` where some of tracks 1 to 9 are, with boxes and confidences whose sums are not exact."""
    dice = np.random.default_rng(index)
    ids = sorted((dice.choice(9, int(dice.integers(1, 9)), replace=False) + 1).tolist())
    confidence = dice.random(len(ids), np.float32)
    frame = tracked(run, index, ids, class_id=dice.choice([0, 2, 7], len(ids)), confidence=confidence)
    corner = dice.random((len(ids), 2), np.float32) * (1200, 600)
    frame.tracks.xyxy[:] = np.hstack([corner, corner + dice.random((len(ids), 2)) * 80])
    return frame


def lost(run: Run, index: int, outcome: Outcome = Outcome.FAILED, reason: str = "not a JPEG") -> FrameTracks:
    """Frame `index` that was not tracked."""
    return _frame(run, index, outcome, sv.Detections.empty(), reason)


def box_of(index: int, track: int) -> tuple[float, float, float, float]:
    """Where `tracked` puts a track, exact in float32."""
    return (index + 0.25, track + 0.5, index + 100.125, track + 50.0)


def batch_of(frames: Sequence[FrameTracks], state: bytes = b"", published: int = 0) -> Batch:
    """A batch that ends where its frames end; `published` is at least that."""
    end = frames[-1].index + 1
    return Batch(tuple(frames), Checkpoint(end, frames[0].index, state), max(end, published), "d1g357", "m.pt", "sort")


def claimed(store: Store, run: Run) -> Claim:
    """A run, started and claimed."""
    store.start_run(run)
    return store.claim(run.run_id)


def dump(store: Store) -> list[Any]:
    """Everything the store tells of every run, but for when it was told."""
    return [
        (
            replace(record, last_outcome_at=None),
            list(store.observations(record.run.run_id)),
            list(store.tracks(record.run.run_id)),
            [(f.index, f.media_time, f.captured_at, f.outcome, f.reason) for f in store.outcomes(record.run.run_id)],
            list(store.detections(record.run.run_id)),
        )
        for record in store.runs()
    ]


def start(code: str, path: Path, **options: object) -> subprocess.Popen[str]:
    """A process of its own that runs `code` on the database at `path`."""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def outcome_of(process: subprocess.Popen[str]) -> str:
    """What a process that must succeed printed."""
    output, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems
    return output.strip()


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    """The answer of SQLite itself."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def told(store: SQLStore, question: str) -> list[dict[str, object]]:
    """What somebody who comes without yolotrack is told."""
    with store._database.reader.connect() as connection:
        return [dict(row) for row in connection.execute(text(question)).mappings()]


def _frame(run: Run, index: int, outcome: Outcome, tracks: sv.Detections, reason: str = "") -> FrameTracks:
    moment = BEGIN + timedelta(milliseconds=40 * index)
    return FrameTracks(run.run_id, run.stream, index, index / 25, moment, outcome, tracks, reason)
