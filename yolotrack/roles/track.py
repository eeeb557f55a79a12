"""track: the one owner of a shard. Puts frames back in order, tracks, commits, publishes, acknowledges; so ordered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import TypeAlias

from yolotrack.broker.base import Broker, Delivery, tracks_log
from yolotrack.errors import ModelMismatch, NotFound
from yolotrack.model import (
    FrameDetections,
    FrameLost,
    FrameTracks,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
)
from yolotrack.store.base import Batch, Checkpoint, Claim, Store
from yolotrack.vision.base import Tracker

PREFETCH = 16_384
"""Most messages without an answer. Frames wait here for a slower one before them, which could not be delivered any
more once they were as many: ten minutes of it at 25 frames a second."""
OpenTracker: TypeAlias = Callable[[Run], Tracker]
"""A new tracker for a run."""


@dataclass(slots=True)
class _RunState:
    """A run in the hands of its owner."""

    claim: Claim
    tracker: Tracker
    next_index: int
    confirmed_index: int
    published: int
    model: str
    model_digest: str
    waiting: dict[int, FrameDetections | FrameLost] = field(default_factory=dict)
    """Frames that came before their turn."""
    done: list[FrameTracks] = field(default_factory=list)
    """Tracked, not committed yet."""
    unanswered: list[Delivery] = field(default_factory=list)
    """Deliveries whose content the store does not hold yet."""
    end: RunEnded | None = None

    @property
    def finished(self) -> bool:
        return self.end is not None and self.next_index >= self.end.frame_count


class TrackRole:
    """Owns one shard of the broker for as long as it runs; used by one thread.

    At most `commit_frames` frames of a run, or `commit_seconds`, wait for their transaction.
    """

    def __init__(
        self, broker: Broker, store: Store, open_tracker: OpenTracker, *, commit_frames: int, commit_seconds: float
    ) -> None:
        self._broker = broker
        self._store = store
        self._open_tracker = open_tracker
        self._commit_frames = commit_frames
        self._commit_seconds = commit_seconds
        self._runs: dict[str, _RunState] = {}
        self._last_commit = time.monotonic()

    def run(self, shard: str, stop: Event) -> None:
        """Track until `stop` is set or the broker closes; what is tracked by then is committed."""
        subscription = self._broker.subscribe(shard, PREFETCH)
        try:
            for delivery in subscription:
                if delivery is not None:
                    self._receive(delivery)
                self._commit_due(idle=delivery is None)
                if stop.is_set():
                    break
            self._commit_due(idle=True)
        finally:
            subscription.close()

    def _receive(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, RunStarted):
            self._store.start_run(message.run)
            delivery.ack()
        elif not isinstance(message, FrameDetections | FrameLost | RunEnded):
            delivery.dead_letter(f"no message for a shard: {type(message).__name__}")
        elif (state := self._state(message.run_id)) is None:
            delivery.dead_letter("no such run")
        elif isinstance(message, RunEnded):
            self._receive_end(state, delivery, message)
        else:
            self._receive_frame(state, delivery, message)

    def _state(self, run_id: str) -> _RunState | None:
        """Of a run that is ours from now on; None when the store does not know it."""
        if run_id not in self._runs:
            try:
                claim = self._store.claim(run_id)
            except NotFound:
                return None
            self._runs[run_id] = self._take_over(claim)
        return self._runs[run_id]

    def _take_over(self, claim: Claim) -> _RunState:
        """Go on where the checkpoint says."""
        checkpoint, record = claim.checkpoint, claim.record
        tracker = self._open_tracker(record.run)
        if checkpoint.tracker_state:
            tracker.restore(checkpoint.tracker_state)
        return _RunState(
            claim,
            tracker,
            next_index=checkpoint.next_index,
            confirmed_index=checkpoint.next_index,
            published=record.ledger.published,
            model=record.model,
            model_digest=record.model_digest,
        )

    def _receive_frame(self, state: _RunState, delivery: Delivery, message: FrameDetections | FrameLost) -> None:
        if message.index < state.confirmed_index:
            delivery.ack()  # a repeat of what is committed and published
            return
        if message.index < state.next_index or message.index in state.waiting:
            state.unanswered.append(delivery)  # a repeat: answered with the one it repeats
            return
        self._check_model(state, message)
        state.waiting[message.index] = message
        state.published = max(state.published, message.index + 1)
        state.unanswered.append(delivery)
        while (waiting := state.waiting.pop(state.next_index, None)) is not None:
            state.done.append(_track(state.tracker, waiting))
            state.next_index += 1
            if len(state.done) >= self._commit_frames:
                self._commit(state)

    @staticmethod
    def _receive_end(state: _RunState, delivery: Delivery, message: RunEnded) -> None:
        state.end = message
        state.published = max(state.published, message.frame_count)
        state.unanswered.append(delivery)

    @staticmethod
    def _check_model(state: _RunState, message: FrameDetections | FrameLost) -> None:
        if isinstance(message, FrameLost) or message.model_digest == state.model_digest:
            return
        if state.model_digest:
            raise ModelMismatch(
                f"frame {message.index} of {message.stream} was detected with {message.model} "
                f"({message.model_digest[:12]}), but its run began with {state.model} ({state.model_digest[:12]}): "
                "start the worker with the same weights and model settings"
            )
        state.model, state.model_digest = message.model, message.model_digest

    def _commit_due(self, *, idle: bool) -> None:
        late = time.monotonic() - self._last_commit >= self._commit_seconds
        for state in list(self._runs.values()):
            if state.finished or len(state.done) >= self._commit_frames or ((idle or late) and state.done):
                self._commit(state)
        if late:
            self._last_commit = time.monotonic()

    def _commit(self, state: _RunState) -> None:
        """The promise of exactly once lives in this order: commit, publish, acknowledge."""
        if state.done:
            self._store.commit(state.claim, self._batch(state))
            self._publish(state)
        if state.finished:
            self._end(state)
        answered, state.unanswered = self._answerable(state)
        for delivery in answered:
            delivery.ack()

    @staticmethod
    def _batch(state: _RunState) -> Batch:
        checkpoint = Checkpoint(state.next_index, state.confirmed_index, state.tracker.snapshot())
        return Batch(
            tuple(state.done),
            checkpoint,
            state.published,
            model_digest=state.model_digest,
            model=state.model,
            tracker=state.tracker.name,
        )

    def _publish(self, state: _RunState) -> None:
        topic = tracks_log(state.claim.record.run.stream)
        for tracks in state.done:
            self._broker.publish(topic, tracks)
        state.confirmed_index = state.next_index
        state.done = []

    def _end(self, state: _RunState) -> None:
        assert state.end is not None  # noqa: S101  # `finished` says so
        self._store.end_run(state.claim, state.end.status, state.end.frame_count)
        self._broker.publish(tracks_log(state.end.stream), state.end)
        del self._runs[state.claim.run_id]

    @staticmethod
    def _answerable(state: _RunState) -> tuple[list[Delivery], list[Delivery]]:
        """Deliveries that the store now holds, and the rest."""
        held: list[Delivery] = []
        rest: list[Delivery] = []
        for delivery in state.unanswered:
            message = delivery.message
            known = state.finished if isinstance(message, RunEnded) else _index(delivery) < state.next_index
            (held if known else rest).append(delivery)
        return held, rest


def _index(delivery: Delivery) -> int:
    message = delivery.message
    return message.index if isinstance(message, FrameDetections | FrameLost) else -1


def _track(tracker: Tracker, message: FrameDetections | FrameLost) -> FrameTracks:
    """The outcome of one frame. A lost frame does not reach the tracker, whoever lost it and whenever it was told."""
    import supervision as sv

    where = (message.run_id, message.stream, message.index, message.media_time, message.captured_at)
    if isinstance(message, FrameLost):
        return FrameTracks(*where, message.outcome, sv.Detections.empty(), message.reason)
    tracks = tracker.update(message.detections, message.media_time, message.motion)
    return FrameTracks(*where, Outcome.TRACKED, tracks)
