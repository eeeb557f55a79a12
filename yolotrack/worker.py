"""`work`: the detect and track roles of one process, over a broker that many processes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event

from yolotrack.broker.base import SharedBroker, shard_topic
from yolotrack.config import Settings
from yolotrack.crew import Crew, join
from yolotrack.errors import StoreError
from yolotrack.model import Run
from yolotrack.roles.deadletters import entomb
from yolotrack.roles.detect import Decode, DetectRole
from yolotrack.roles.endure import track_on
from yolotrack.roles.orphans import end_orphans
from yolotrack.roles.pin import Pins
from yolotrack.roles.render import RenderRole
from yolotrack.roles.track import TrackRole
from yolotrack.store.base import Store
from yolotrack.vision.base import Detector, Tracker

COMMIT_FRAMES = 25
DRAIN_SECONDS = 60.0
"""Longest time that what is in hand may take to finish."""
STORE_PATIENCE = 600.0
"""Longest time that a database may refuse."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What one process brings: a detector to detect with, a store and trackers to track with, or both."""

    broker: SharedBroker
    settings: Settings
    decode: Decode
    detector: Detector | None = None
    store: Store | None = None
    open_tracker: Callable[[Run], Tracker] | None = None
    renderer: RenderRole | None = None

    def run(self, stop: Event) -> None:
        """Work until `stop` is set, then finish what is in hand. The first error stops the rest, and is raised."""
        crew = Crew()
        if self.detector is not None:
            self._start_detecting(crew, self.detector, stop)
        if self.store is not None:
            self._start_tracking(crew, self.store, stop)
        if self.renderer is not None:
            renderer = self.renderer
            crew.start("render", lambda: renderer.run(stop), on_error=stop.set)
        while not stop.wait(0.2) and crew.error is None:
            pass
        stop.set()
        join(crew.threads, DRAIN_SECONDS)
        if crew.error is not None:
            raise crew.error

    def shard_of(self, stream: str) -> str:
        """The topic of a stream's shard."""
        return shard_topic(stream, self.settings.broker.shards)

    def _start_detecting(self, crew: Crew, detector: Detector, stop: Event) -> None:
        name = self.settings.model.weights
        engine = getattr(detector, "engine", "")  # a detector of the user's need not say
        pins = Pins(self.broker, f"{name}, {engine}" if engine else name, detector.digest)
        role = DetectRole(self.broker, detector, name, self.shard_of, decode=self.decode, pins=pins)
        crew.start("detect", lambda: role.run(stop), on_error=stop.set)
        crew.start("suspects", lambda: role.run_suspects(stop), on_error=stop.set)

    def _start_tracking(self, crew: Crew, store: Store, stop: Event) -> None:
        broker, patience = self.broker, self.settings.broker.orphan_seconds
        for number in range(self.settings.broker.shards):
            shard = f"detections.{number}"
            crew.start(shard, lambda shard=shard: self._track(shard, store, stop), on_error=stop.set)  # type: ignore[misc]
        crew.start("dead letters", lambda: entomb(broker, self.shard_of, stop=stop), on_error=stop.set)
        crew.start(
            "orphans",
            lambda: end_orphans(broker, store, self.shard_of, patience=patience, stop=stop),
            on_error=stop.set,
        )

    def _track(self, shard: str, store: Store, stop: Event) -> None:
        """Track, and start afresh from the store after an error that a fresh start may mend."""
        assert self.open_tracker is not None  # noqa: S101  # whoever brings a store brings trackers
        new_role = partial(
            TrackRole,
            self.broker,
            store,
            self.open_tracker,
            commit_frames=COMMIT_FRAMES,
            commit_seconds=self.settings.pipeline.commit_seconds,
            keep_detections=self.settings.database.detections,
        )
        track_on(new_role, shard, stop, bearing=StoreError, patience=STORE_PATIENCE)
