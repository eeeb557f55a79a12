"""The track role at work, with real stores and trackers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from tests.support.brokers import number_in
from tests.support.runs import dump, messages_of
from tests.support.waiting import Background
from yolotrack.broker.base import LogReader, tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.config import TrackerSettings
from yolotrack.model import FrameTracks, Message, Run, RunEnded, RunStarted
from yolotrack.roles.track import OpenTracker, TrackRole
from yolotrack.store.base import Store
from yolotrack.vision.tracker import open_tracker

SHARD = "detections.0"
OpenStore = Callable[[str], Store]
"""Opens a database by its name."""

COUNT = 80
"""Frames of the standard run."""
GONE = (0, 17, 18, 60, 79)
"""Those of them that are lost."""


def standard(run: Run) -> list[Message]:
    """The messages of that run on its shard, in order."""
    return messages_of(run, COUNT, GONE)


def opener(name: str) -> OpenTracker:
    """Opens trackers of that name."""
    return lambda run: open_tracker(TrackerSettings.model_validate({"name": name}), run.rate)


def make_role(
    broker: MemoryBroker,
    store: Any,
    frames: int = 8,
    seconds: float = 1000.0,
    tracker: str = "bytetrack",
    keep: bool = False,
) -> TrackRole:
    return TrackRole(broker, store, opener(tracker), commit_frames=frames, commit_seconds=seconds, keep_detections=keep)


class Tracking:
    """The track role at work."""

    def __init__(self, broker: MemoryBroker, store: Any, **batching: Any) -> None:
        self._stop = Event()
        role = make_role(broker, store, **batching)
        self._call = Background(lambda: role.run(SHARD, self._stop))

    def end(self) -> None:
        """Stop it; raises what it raises."""
        self._stop.set()
        self.join()

    def join(self) -> None:
        self._call.result(30)


def send(broker: MemoryBroker, messages: Sequence[Message]) -> None:
    for message in messages:
        broker.publish(SHARD, message)


def track_all(broker: MemoryBroker, store: Any, messages: Sequence[Message], **batching: Any) -> None:
    """Track what ends with as many runs as begin in `messages`."""
    runs = [message.run for message in messages if isinstance(message, RunStarted)]
    send(broker, messages)
    tracking = Tracking(broker, store, **batching)
    for run in {run.run_id: run for run in runs}.values():
        wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    tracking.end()


def wait_for_end(log: LogReader, run: Run) -> None:
    for message in log:
        if isinstance(message, RunEnded) and message.run_id == run.run_id:
            break
    log.close()


def published_tracks(broker: MemoryBroker, run: Run) -> list[int]:
    """The indexes on the run's tracks log, as they came."""
    found = []
    for message in broker.read(tracks_log(run.stream), "start"):
        if message is None:
            return found
        if isinstance(message, FrameTracks) and message.run_id == run.run_id:
            found.append(message.index)
    return found


def reference(store_at: OpenStore, run: Run, messages: Sequence[Message], **options: Any) -> dict[str, Any]:
    """What one worker makes of the messages when nothing happens."""
    broker, store = MemoryBroker(capacity=4096, retain=4096), store_at(f"reference-{run.run_id}")
    track_all(broker, store, messages, **options)
    broker.close()
    return dump(store, run)


def out_of_order(messages: Sequence[Message], places: float) -> list[Message]:
    dice = random.Random(7)
    return sorted(messages, key=lambda message: number_of(message) + dice.uniform(0, places))


def number_of(message: Message) -> int:
    return -1000 if isinstance(message, RunStarted) else number_in(message)
