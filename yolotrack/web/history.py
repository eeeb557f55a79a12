"""What the database knows of runs and tracks; it may not be there, or come later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from math import ceil
from threading import Lock
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from yolotrack.errors import NotFound, StoreError
from yolotrack.model import Observation, RunRecord, TrackSummary
from yolotrack.store.base import Store

RETRY_SECONDS = 3.0
MOST_RUNS = 50
MOST_TRACKS = 500
MOST_POINTS = 1000
"""Of a path; longer ones are thinned out evenly."""
NEWEST_ROWS = 50


class History:
    """The store, opened when it is first asked for, and again when it was not there. Safe to call from any thread."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._lock = Lock()
        self._store: Store | None = None
        self._tried_at = float("-inf")
        self.absence = ""
        """Why there is none, in one line; empty where there is one, and before anybody asked."""

    def store(self) -> Store | None:
        """None where there is none."""
        with self._lock:
            if self._store is None and time.monotonic() - self._tried_at > RETRY_SECONDS:
                self._tried_at = time.monotonic()
                self._open()
            return self._store

    def _open(self) -> None:
        try:
            self._store, self.absence = self._open_store(), ""
        except StoreError as error:
            self.absence = str(error)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


class HistoryPage:
    """Questions of a page to the history, answered in JSON. Errors are `{"error": one line}`."""

    def __init__(self, history: History) -> None:
        self._history = history

    @property
    def routes(self) -> list[BaseRoute]:
        """For the app."""
        return [
            Route("/api/streams/{stream}/runs", self.runs),
            Route("/api/runs/{run_id}/tracks", self.tracks),
            Route("/api/runs/{run_id}/tracks/{track_id:int}", self.track),
        ]

    async def runs(self, request: Request) -> Response:
        """The newest runs of a stream, the newest first."""
        return await self._answer(lambda store: _runs(store, request.path_params["stream"]))

    async def tracks(self, request: Request) -> Response:
        """The newest tracks of a run, the newest first, and how many there are."""
        return await self._answer(lambda store: _tracks(store, request.path_params["run_id"]))

    async def track(self, request: Request) -> Response:
        """One track: its summary, its path as `[frame, seconds, x, y]` in pixels, and its newest observations."""
        parameters = request.path_params
        return await self._answer(lambda store: _track(store, parameters["run_id"], parameters["track_id"]))

    async def _answer(self, ask: Callable[[Store], dict[str, Any]]) -> Response:
        def answer() -> Response:
            store = self._history.store()
            if store is None:
                return JSONResponse({"error": self._history.absence}, 404)
            try:
                return JSONResponse(ask(store))
            except NotFound as error:
                return JSONResponse({"error": str(error)}, 404)
            except StoreError as error:
                return JSONResponse({"error": str(error)}, 503)

        return await run_in_threadpool(answer)


def newest_runs(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """The newest run of each stream, out of runs from the oldest to the newest."""
    return {record.run.stream: record for record in records}


def milliseconds(seconds: float) -> int:
    """As a browser counts them."""
    return round(1000 * seconds)


def _runs(store: Store, stream: str) -> dict[str, Any]:
    found = [record for record in store.runs() if record.run.stream == stream]
    return {"runs": [_as_dict(record) for record in reversed(found[-MOST_RUNS:])]}


def _tracks(store: Store, run_id: str) -> dict[str, Any]:
    found = list(store.tracks(run_id))
    return {"count": len(found), "tracks": [asdict(track) for track in reversed(found[-MOST_TRACKS:])]}


def _track(store: Store, run_id: str, track_id: int) -> dict[str, Any]:
    summary: TrackSummary | None = next((t for t in store.tracks(run_id) if t.track_id == track_id), None)
    if summary is None:
        raise NotFound(f"track {track_id} is not in the database, or not yet")
    path, newest = _walked(store.observations(run_id, track_ids=(track_id,)), summary.observations)
    return {
        "summary": asdict(summary),
        "path": [_point(row) for row in path],
        "rows": [_row(row) for row in reversed(newest)],
    }


def _walked(rows: Iterable[Observation], expected: int) -> tuple[list[Observation], deque[Observation]]:
    """Every n-th row and always the last, about `MOST_POINTS`, and the newest; `expected` may be behind."""
    step = max(1, ceil(expected / MOST_POINTS))
    path: list[Observation] = []
    newest: deque[Observation] = deque(maxlen=NEWEST_ROWS)
    for number, row in enumerate(rows, start=1):
        newest.append(row)
        if (number - expected) % step == 0:
            path.append(row)
    if newest and path[-1:] != [newest[-1]]:
        path.append(newest[-1])
    return path, newest


def _point(row: Observation) -> list[float]:
    x1, y1, x2, y2 = row.xyxy
    return [row.frame, round(row.media_time, 3), round((x1 + x2) / 2, 1), round((y1 + y2) / 2, 1)]


def _row(row: Observation) -> dict[str, Any]:
    return {
        "frame": row.frame,
        "media_time": row.media_time,
        "class_name": row.class_name,
        "confidence": row.confidence,
        "box": row.xyxy,
    }


def _as_dict(record: RunRecord) -> dict[str, Any]:
    return {
        "run_id": record.run.run_id,
        "status": record.status.value,
        "started_at": milliseconds(record.run.started_at.timestamp()),
        "ended_at": milliseconds(record.ended_at.timestamp()) if record.ended_at else None,
        "model": record.model,
        "tracker": record.tracker,
        "tracks": record.tracks,
        **asdict(record.ledger),
    }
