"""One run in the hands of its owner: puts frames back in order and tracks them. Calls no broker and no store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from yolotrack import wire
from yolotrack.broker.base import Delivery
from yolotrack.errors import TrackerError
from yolotrack.model import FrameDetections, FrameLost, FrameTracks, Mode, Outcome, RunEnded
from yolotrack.store.base import Batch, Checkpoint, Claim
from yolotrack.vision.base import Tracker

log = logging.getLogger("yolotrack.track")


@dataclass(slots=True)
class RunState:
    """Used by one thread. `take` frames in any order, any number of times; `done` grows in index order, once each."""

    claim: Claim
    tracker: Tracker
    next_index: int
    """The frame that is tracked next."""
    committed_index: int
    """Frames below it are in the store, and on the tracks log."""
    published: int
    model: str
    model_digest: str
    waiting: dict[int, FrameDetections | FrameLost] = field(default_factory=dict)
    """Frames that came before their turn."""
    spilled: set[int] = field(default_factory=set)
    """Of these, the ones that the store keeps."""
    done: list[FrameTracks] = field(default_factory=list)
    """Tracked, not committed yet."""
    keep_detections: bool = False
    """Have the store keep what is tracked, to track it again."""
    kept: dict[int, bytes] = field(default_factory=dict)
    """Of `done`, as bodies."""
    unanswered: list[Delivery] = field(default_factory=list)
    """Deliveries whose content the store does not hold yet."""
    end: RunEnded | None = None

    @classmethod
    def take_over(cls, claim: Claim, tracker: Tracker, *, keep_detections: bool = False) -> RunState:
        """Where the checkpoint says. The tracker is a new one."""
        checkpoint, record = claim.checkpoint, claim.record
        if checkpoint.tracker_state:
            tracker.restore(checkpoint.tracker_state)
        state = cls(
            claim,
            tracker,
            checkpoint.next_index,
            checkpoint.next_index,
            record.ledger.published,
            record.model,
            record.model_digest,
            keep_detections=keep_detections,
        )
        for message in map(_spilled, claim.spilled):
            state.take(message)
        state.spilled = set(state.waiting)
        return state

    @property
    def live(self) -> bool:
        """Whether freshness counts in this run."""
        return self.claim.record.run.mode is Mode.LIVE

    @property
    def finished(self) -> bool:
        """Every frame has its outcome."""
        return self.end is not None and self.next_index >= self.published

    def knows(self, index: int) -> bool:
        """Whether that frame came already."""
        return index < self.next_index or index in self.waiting

    def take(self, message: FrameDetections | FrameLost) -> None:
        """Remember a frame that is not known yet."""
        self.waiting[message.index] = self._checked(message)
        self.published = max(self.published, message.index + 1)

    def track_next(self) -> bool:
        """Track the next frame, if it came."""
        message = self.waiting.pop(self.next_index, None)
        if message is None:
            return False
        self.done.append(_track(self.tracker, message))
        if self.keep_detections and isinstance(message, FrameDetections):
            self.kept[message.index] = wire.encode_kept(message)
        self.spilled.discard(self.next_index)
        self.next_index += 1
        return True

    def committed(self) -> None:
        """What was done is in the store and on the tracks log."""
        self.done, self.kept = [], {}
        self.committed_index = self.next_index

    def batch(self) -> Batch:
        """What `done` means to the store."""
        return Batch(
            tuple(self.done),
            Checkpoint(self.next_index, self.committed_index, self.tracker.snapshot()),
            self.published,
            model_digest=self.model_digest,
            model=self.model,
            tracker=self.tracker.name,
            detections=self.kept,
        )

    def answerable(self) -> list[Delivery]:
        """Take out the deliveries whose content the store now holds."""
        held = [delivery for delivery in self.unanswered if self._held(delivery)]
        self.unanswered = [delivery for delivery in self.unanswered if not self._held(delivery)]
        return held

    def _held(self, delivery: Delivery) -> bool:
        message = delivery.message
        if isinstance(message, FrameDetections | FrameLost):
            return message.index < self.committed_index or message.index in self.spilled
        return self.finished and self.committed_index == self.next_index

    def _checked(self, message: FrameDetections | FrameLost) -> FrameDetections | FrameLost:
        """Identity needs equal detections: what another model found is no detection of this run."""
        if isinstance(message, FrameLost) or message.model_digest == self.model_digest:
            return message
        if not self.model_digest:
            self.model, self.model_digest = message.model, message.model_digest
            return message
        reason = (
            f"detected with {message.model} ({message.model_digest[:12]}), "
            f"but the run began with {self.model} ({self.model_digest[:12]})"
        )
        log.error("refused stream=%s frame=%d reason=%r", message.stream, message.index, reason)
        where = (message.run_id, message.stream, message.index, message.media_time, message.captured_at)
        return FrameLost(*where, Outcome.FAILED, reason)


def _spilled(body: bytes) -> FrameDetections | FrameLost:
    message = wire.decode(body)
    assert isinstance(message, FrameDetections | FrameLost)  # noqa: S101  # nothing else waits
    return message


def _track(tracker: Tracker, message: FrameDetections | FrameLost) -> FrameTracks:
    """The outcome of one frame. A lost frame does not reach the tracker, whoever lost it and whenever it was told."""
    import supervision as sv

    where = (message.run_id, message.stream, message.index, message.media_time, message.captured_at)
    if isinstance(message, FrameLost):
        return FrameTracks(*where, message.outcome, sv.Detections.empty(), message.reason)
    try:
        tracks = tracker.update(message.detections, message.media_time, message.motion)
    except TrackerError as error:  # it would be the same for every worker, so it is the frame's outcome
        log.error("not tracked stream=%s frame=%d reason=%r", message.stream, message.index, str(error))
        return FrameTracks(*where, Outcome.FAILED, sv.Detections.empty(), str(error))
    return FrameTracks(*where, Outcome.TRACKED, tracks)
