"""Runs to track, without pictures: their messages, a store and a broker that fail on demand, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.support.scripted import HEIGHT, RATE, WIDTH, scene
from yolotrack.broker.memory import MemoryBroker
from yolotrack.model import (
    FrameDetections,
    FrameLost,
    Message,
    Mode,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
    new_run_id,
)
from yolotrack.store.base import Batch, Claim, Store

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def make_run(stream: str = "cam") -> Run:
    """A run that begins at `BEGIN`."""
    return Run(new_run_id(), stream, f"{stream}.mp4", BEGIN, Mode.ARCHIVE, WIDTH, HEIGHT, RATE)


def found(run: Run, index: int, *, seen: int | None = None, digest: str = "d1g357") -> FrameDetections:
    """What the detector found in frame `index`: scene `seen`, by default its own."""
    detections = scene(index if seen is None else seen)
    return FrameDetections(run.run_id, run.stream, index, index / 25, _moment(index), detections, "model", digest)


def lost(run: Run, index: int, outcome: Outcome = Outcome.FAILED) -> FrameLost:
    """A tombstone."""
    return FrameLost(run.run_id, run.stream, index, index / 25, _moment(index), outcome, f"reason {index}")


def messages_of(run: Run, count: int, gone: Iterable[int] = ()) -> list[Message]:
    """A whole run on its shard, in order; the frames in `gone` are lost."""
    gone = set(gone)
    frames = [lost(run, index) if index in gone else found(run, index) for index in range(count)]
    return [RunStarted(run), *frames, RunEnded(run.run_id, run.stream, count, RunStatus.COMPLETE)]


def dump(store: Store, run: Run) -> dict[str, Any]:
    """Everything that the store knows of a run, but for its id and when it ended."""
    record = store.find_run(run.run_id)
    return {
        "observations": [
            (row.frame, row.track_id, row.media_time, row.captured_at, row.class_name, row.confidence, row.xyxy)
            for row in store.observations(run.run_id)
        ],
        "lost": [
            (row.index, row.outcome, row.reason, row.media_time)
            for row in store.outcomes(run.run_id)
            if row.outcome is not Outcome.TRACKED
        ],
        "tracks": [
            (row.track_id, row.class_name, row.first_frame, row.last_frame, row.observations)
            for row in store.tracks(run.run_id)
        ],
        "ledger": record.ledger,
        "status": record.status,
        "model": (record.model, record.model_digest, record.tracker),
    }


class WatchedStore:
    """A store whose commits are remembered. `before` and `after` are called around each, and may raise."""

    def __init__(
        self,
        store: Store,
        before: Callable[[int], object] = lambda number: None,
        after: Callable[[int], object] = lambda number: None,
    ) -> None:
        self.batches: list[Batch] = []
        self._store = store
        self._before = before
        self._after = after

    def commit(self, claim: Claim, batch: Batch) -> None:
        number = len(self.batches)
        self.batches.append(batch)
        self._before(number)
        self._store.commit(claim, batch)
        self._after(number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class FailingBroker(MemoryBroker):
    """An embedded broker that asks before it takes a message; `before` may raise."""

    def __init__(self, before: Callable[[str, Message], object], capacity: int = 4096, retain: int = 4096) -> None:
        super().__init__(capacity, retain)
        self._before = before

    def publish(self, topic: str, *messages: Message) -> None:
        for message in messages:
            self._before(topic, message)
            super().publish(topic, message)


def _moment(index: int) -> datetime:
    return BEGIN + timedelta(milliseconds=40 * index)
