"""How fast the database of tracks is written and asked, beside SQLite without anything around it.

    python bench/store.py [--rows 5000000] [--rounds 3] [--folder FOLDER] [--json]

The database is made once, row by row with the sqlite3 module, and kept in `--folder` for the next time. In one process
and in turn, round by round, each beside its reference on the same file:

- track     `db query --track-id` of one track of the newest run, from opening the store to the last row; reference: the
            same statement by hand
- scan      `db query --min-conf 0.1` of every run as CSV into a file; reference: the `sqlite3` program with `-csv`, or
            the csv module where there is none
- tracks    `db tracks` of every run as CSV; reference: the view `v_tracks` through the csv module
- write 10, write 50
            `Store.commit` of 100 frames each, with so many tracks in a frame; reference: executemany of the same
            observations into the same table, as often committed, as durable

Medians of the rounds are printed, and by how much the process grew over a scan.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import supervision as sv

from yolotrack.cli.db.tracks import TRACK_COLUMNS, track_values
from yolotrack.config import DatabaseSettings
from yolotrack.formats.csv_text import CsvWriter
from yolotrack.formats.rows import batches_of
from yolotrack.model import FrameTracks, Mode, Outcome, Run, new_run_id
from yolotrack.store.base import Batch, Checkpoint, Selection
from yolotrack.store.sql import SQLStore, open_store

RUNS, TRACKS, LIFE, RATE = 5, 10, 200, 25
"""Runs in the database, tracks in every frame, frames in the life of a track, frames a second."""
FRAMES_A_COMMIT, COMMITS = 100, 50
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
TARGETS = {
    "track": "under 50 ms",
    "scan": "at least 300,000 rows/s",
    "tracks": "under 3 s",
    "write 10": "at least 50,000 rows/s",
    "write 50": "at least 50,000 rows/s",
}
STATEMENT = (
    "SELECT o.x_min, o.y_min, o.x_max, o.y_max, o.class_id, o.confidence, o.track, c.name, o.frame, f.media_time,"
    " f.captured_at, r.stream, r.run_id FROM observations o"
    " JOIN runs r ON r.id = o.run JOIN frames f ON f.run = o.run AND f.frame = o.frame"
    " JOIN classes c ON c.run = o.run AND c.class_id = o.class_id WHERE "
)


@dataclass(frozen=True)
class Measured:
    """Seconds that something took here and with the reference, and for how many rows."""

    rows: int
    ours: float
    reference: float


def main() -> None:
    """Measure and print."""
    options = _options()
    path = _database(options.folder, options.rows)
    rounds = [_round(path) for _ in range(options.rounds)]
    grown = _growth(path)
    if options.json:
        values = [{name: vars(value) for name, value in row.items()} for row in rounds]
        print(json.dumps({"machine": _machine(), "rows": options.rows, "rounds": values, "grown_mb": grown}))
        return
    size = path.stat().st_size / 1e6
    print(f"{_machine()}; {options.rows:,} observations, {size:.0f} MB; {options.rounds} rounds, medians")
    for name, target in TARGETS.items():
        _print(name, [row[name] for row in rounds], target)
    print(f"grown over a scan: {grown:.0f} MB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "yolotrack-bench-store")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _print(name: str, found: list[Measured], target: str) -> None:
    ours = statistics.median(row.ours for row in found)
    ratio = statistics.median(row.reference / row.ours for row in found)
    rows = found[0].rows
    print(f"{name:9} {ours * 1000:9.1f} ms {rows:9,} rows {rows / ours:11,.0f} rows/s", end="")
    print(f"  {ratio:5.2f} times as fast as the reference, target {target}")


# -- the database


def _database(folder: Path, rows: int) -> Path:
    """With `rows` observations in `RUNS` runs; made where it is missing."""
    path = folder / f"{rows}.db"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{rows}.part.db"
        for left in folder.glob(f"{draft.name}*"):
            left.unlink()
        _make(draft, rows)
        draft.replace(path)
    open_store(_settings(path)).close()  # an older schema is brought up to date
    return path


def _settings(path: Path) -> DatabaseSettings:
    return DatabaseSettings(url=f"sqlite:///{path}")


def _make(path: Path, rows: int) -> None:
    with closing(open_store(_settings(path))) as store:
        for number in range(RUNS):
            store.start_run(_run(f"camera-{number}"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(1, RUNS + 1):
            with connection:
                _fill(connection, number, rows // RUNS // TRACKS)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _run(stream: str) -> Run:
    return Run(new_run_id(), stream, f"{stream}.mp4", BEGIN, Mode.ARCHIVE, 1280, 720, Fraction(RATE))


def _fill(connection: sqlite3.Connection, run: int, frames: int) -> None:
    names = ((run, 0, "person"), (run, 2, "car"), (run, 7, "truck"))
    connection.executemany("INSERT INTO classes VALUES (?, ?, ?)", names)
    first = int(BEGIN.timestamp() * 1e6)
    times = ((run, frame, frame / RATE, first + frame * 1_000_000 // RATE) for frame in range(frames))
    connection.executemany("INSERT INTO frames VALUES (?, ?, ?, ?)", times)
    for start in range(0, frames, 1000):
        seen = _observations(run, np.arange(start, min(start + 1000, frames)), TRACKS)
        connection.executemany("INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", seen)
    connection.execute(
        "INSERT INTO tracks SELECT run, track, class_id, count(*), sum(confidence), min(frame), max(frame),"
        " min(frame) / ?, max(frame) / ? FROM observations WHERE run = ? GROUP BY 1, 2, 3",
        (float(RATE), float(RATE), run),
    )
    connection.execute("INSERT INTO paths SELECT run, track, 0, 0, 0, 0, 0 FROM tracks WHERE run = ?", (run,))
    ended = "UPDATE runs SET published = ?, tracked = ?, status = 'complete', ended_at = started_at + ? WHERE id = ?"
    connection.execute(ended, (frames, frames, frames * 10_000, run))


def _observations(run: int, frames: np.ndarray, tracks: int) -> Iterator[tuple[float, ...]]:
    dice = np.random.default_rng(int(frames[0]))
    frame = np.repeat(frames, tracks)
    track = frame // LIFE * tracks + np.tile(np.arange(tracks), len(frames)) + 1
    corner = dice.random((2, len(frame)), np.float32) * 600
    confidence = dice.random(len(frame), np.float32)
    columns = [np.full(len(frame), run), frame, track, np.array([0, 2, 7])[track % 3], confidence]
    return zip(*(column.tolist() for column in (*columns, *corner, *(corner + 50.3).astype(np.float32))), strict=True)


# -- questions


def _round(path: Path) -> dict[str, Measured]:
    return {
        "track": _track(path),
        "scan": _scan(path),
        "tracks": _tracks(path),
        "write 10": _write(10),
        "write 50": _write(50),
    }


def _track(path: Path) -> Measured:
    with closing(open_store(_settings(path), read_only=True)) as store:
        run = store.find_run("latest").run.run_id
        next(store.select(Selection((run,), limit=1)))  # what is imported on first use is part of starting up
    started = time.perf_counter()
    with closing(open_store(_settings(path), read_only=True)) as store:
        rows = sum(batch.num_rows for batch in store.select(Selection((run,), track_ids=((77, 77),))))
    ours = time.perf_counter() - started
    started = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        run_number = "(SELECT id FROM runs WHERE run_id = ?)"
        question = f"{STATEMENT} o.run = {run_number} AND o.track = 77 ORDER BY o.frame"
        assert len(connection.execute(question, (run,)).fetchall()) == rows
    return Measured(rows, ours, time.perf_counter() - started)


def _scan(path: Path) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = _write_scan(path, Path(folder) / "ours.csv")
        ours = time.perf_counter() - started
        started = time.perf_counter()
        _reference_scan(path, Path(folder) / "reference.csv")
        return Measured(rows, ours, time.perf_counter() - started)


def _write_scan(path: Path, target: Path) -> int:
    with closing(open_store(_settings(path), read_only=True)) as store, target.open("wb") as file:
        selection = Selection(tuple(record.run.run_id for record in store.runs()), min_confidence=0.1)
        writer, rows = CsvWriter(file), 0
        for batch in store.select(selection):
            writer.write(batch)
            rows += batch.num_rows
        return rows


def _reference_scan(path: Path, target: Path) -> None:
    question = STATEMENT + "o.confidence >= 0.1 ORDER BY o.run, o.frame, o.track"
    with target.open("w", newline="") as file:
        if program := shutil.which("sqlite3"):
            subprocess.run([program, "-readonly", "-csv", "-header", str(path), question], stdout=file, check=True)
            return
        with closing(sqlite3.connect(path)) as connection:
            csv.writer(file).writerows(connection.execute(question))


def _tracks(path: Path) -> Measured:
    with tempfile.TemporaryFile() as file:
        started = time.perf_counter()
        with closing(open_store(_settings(path), read_only=True)) as store:
            every = (
                track_values(record, track) for record in store.runs() for track in store.tracks(record.run.run_id)
            )
            writer, rows = CsvWriter(file), 0
            for batch in batches_of(every, TRACK_COLUMNS):
                writer.write(batch)
                rows += batch.num_rows
        ours = time.perf_counter() - started
    with tempfile.TemporaryFile("w", newline="") as text, closing(sqlite3.connect(path)) as connection:
        started = time.perf_counter()
        csv.writer(text).writerows(connection.execute("SELECT * FROM v_tracks"))
        return Measured(rows, ours, time.perf_counter() - started)


def _growth(path: Path) -> float:
    """Megabytes by which a second, whole scan raises the most memory that a process ever had."""
    code = (
        "import resource, sys; from pathlib import Path; from bench.store import _write_scan;"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "_write_scan(Path(sys.argv[1]), Path('/dev/null')); before = most();"
        "_write_scan(Path(sys.argv[2]), Path('/dev/null')); print((most() - before) / 1024)"
    )
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.db"
        _make(small, 50_000)
        command = [sys.executable, "-c", code, str(small), str(path)]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return float(done.stdout)


# -- writing


def _write(tracks: int) -> Measured:
    run = _run("written")
    batches = [_batch(run, start, tracks) for start in range(0, FRAMES_A_COMMIT * COMMITS, FRAMES_A_COMMIT)]
    with tempfile.TemporaryDirectory() as folder:
        with closing(open_store(_settings(Path(folder) / "ours.db"))) as store:
            ours = _commit(store, run, batches)
        reference = _reference_write(Path(folder) / "reference.db", tracks)
    return Measured(FRAMES_A_COMMIT * COMMITS * tracks, ours, reference)


def _batch(run: Run, start: int, tracks: int) -> Batch:
    end = start + FRAMES_A_COMMIT
    frames = tuple(_frame(run, index, tracks) for index in range(start, end))
    return Batch(frames, Checkpoint(end, end, bytes(50_000)), end, "digest", "model", "tracker")


def _frame(run: Run, index: int, tracks: int) -> FrameTracks:
    dice = np.random.default_rng(index)
    corner = dice.random((tracks, 2), np.float32) * 600
    seen = sv.Detections(
        xyxy=np.hstack([corner, corner + 50]),
        confidence=dice.random(tracks, np.float32),
        class_id=np.full(tracks, 2),
        tracker_id=index // LIFE * tracks + np.arange(tracks) + 1,
        data={"class_name": np.full(tracks, "car")},
    )
    moment = BEGIN + timedelta(seconds=index / RATE)
    return FrameTracks(run.run_id, run.stream, index, index / RATE, moment, Outcome.TRACKED, seen)


def _commit(store: SQLStore, run: Run, batches: list[Batch]) -> float:
    store.start_run(run)
    claim = store.claim(run.run_id)
    started = time.perf_counter()
    for batch in batches:
        store.commit(claim, batch)
    return time.perf_counter() - started


def _reference_write(path: Path, tracks: int) -> float:
    with closing(open_store(_settings(path))) as store:
        store.start_run(_run("written"))
    parts = [
        list(_observations(1, np.arange(start, start + FRAMES_A_COMMIT), tracks))
        for start in range(0, FRAMES_A_COMMIT * COMMITS, FRAMES_A_COMMIT)
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        started = time.perf_counter()
        for rows in parts:
            with connection:
                connection.executemany("INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return time.perf_counter() - started


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.system()} {platform.machine()}, SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    main()
