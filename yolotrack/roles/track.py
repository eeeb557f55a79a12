"""track: the one owner of a shard. Puts frames back in order, tracks, commits, publishes, acknowledges; so ordered."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event
from typing import TypeAlias

from yolotrack import wire
from yolotrack.broker.base import Broker, Delivery, tracks_log
from yolotrack.errors import NotFound
from yolotrack.model import FrameDetections, FrameLost, Run, RunEnded, RunRecord, RunStarted, RunStatus
from yolotrack.roles.run_state import RunState
from yolotrack.store.base import Claim, Store
from yolotrack.vision.base import Tracker

log = logging.getLogger("yolotrack.track")

PREFETCH = 512
UNANSWERED = PREFETCH // 2
"""Deliveries that may be without an answer, of all runs together, before what waits for an earlier frame goes to the
store: so that the earlier frame always finds room to come."""
REMEMBERED_ENDS = 1000
STRAY_SECONDS = 5.0
"""Longest time that a message waits for the start of its run. The start comes first, but what a crashed owner leaves
comes again in any order."""
NO_SUCH_RUN = "no such run"
"""Why a message is set aside whose run the database does not hold."""

OpenTracker: TypeAlias = Callable[[Run], Tracker]
"""A new tracker for a run."""


@dataclass(frozen=True, slots=True)
class _Stray:
    """A message whose run the store does not hold, or not yet."""

    since: float
    delivery: Delivery
    message: FrameDetections | FrameLost | RunEnded


class TrackRole:
    """Owns one shard of the broker for as long as it runs; used by one thread.

    At most `commit_frames` frames of a run, or `commit_seconds`, wait for their transaction; those of a live run wait
    only while more is at hand. `keep_detections` has the store keep what the detector found, to track it again.
    """

    def __init__(
        self,
        broker: Broker,
        store: Store,
        open_tracker: OpenTracker,
        *,
        commit_frames: int,
        commit_seconds: float,
        keep_detections: bool = False,
    ) -> None:
        self._broker = broker
        self._store = store
        self._open_tracker = open_tracker
        self._commit_frames = commit_frames
        self._commit_seconds = commit_seconds
        self._keep_detections = keep_detections
        self._runs: dict[str, RunState] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._strays: deque[_Stray] = deque()
        self._session = 0
        self._last_commit = time.monotonic()
        self.committed = False
        """Whether the store took anything yet."""

    def run(self, shard: str, stop: Event) -> None:
        """Track until `stop` is set or the broker closes; what is tracked by then is committed.

        Raises `Fenced` when another owner took a run over: what this one has in hand is worth nothing then.
        """
        with closing(self._broker.subscribe(shard, PREFETCH)) as subscription:
            for delivery in subscription:
                if delivery is not None:
                    self._receive(delivery)
                else:
                    self._bury_strays()
                self._commit_due(idle=delivery is None, behind=subscription.ready)
                if stop.is_set():
                    break
            self._commit_due(idle=True, behind=False)

    def _receive(self, delivery: Delivery) -> None:
        self._notice_session(delivery.session)
        message = delivery.message
        if isinstance(message, RunStarted):
            self._store.start_run(message.run)
            delivery.ack()
            self._receive_strays(message.run.run_id)
        elif isinstance(message, FrameDetections | FrameLost | RunEnded):
            self._receive_of_run(delivery, message)
        else:
            delivery.dead_letter(f"no message for a shard: {type(message).__name__}")

    def _notice_session(self, session: int) -> None:
        """After a broken connection our runs may have another owner, and all that is unanswered comes again."""
        if session != self._session:
            self._session = session
            self._runs.clear()
            self._strays.clear()

    def _receive_of_run(self, delivery: Delivery, message: FrameDetections | FrameLost | RunEnded) -> None:
        try:
            state = self._state(message.run_id)
        except NotFound:
            self._strays.append(_Stray(time.monotonic(), delivery, message))
            return
        if state is None:
            delivery.ack()  # late: the run has ended
        elif isinstance(message, RunEnded):
            self._receive_end(state, delivery, message)
        else:
            self._receive_frame(state, delivery, message)

    def _receive_strays(self, run_id: str) -> None:
        strays, self._strays = self._strays, deque()
        for stray in strays:
            if stray.message.run_id == run_id:
                self._receive_of_run(stray.delivery, stray.message)
            else:
                self._strays.append(stray)

    def _bury_strays(self) -> None:
        while self._strays and time.monotonic() - self._strays[0].since > STRAY_SECONDS:
            self._strays.popleft().delivery.dead_letter(NO_SUCH_RUN)

    def _state(self, run_id: str) -> RunState | None:
        """Of a run that is ours from now on; None when it has ended. `NotFound` when the store does not know it."""
        if run_id not in self._runs and run_id not in self._ended:
            self._take_over(self._store.claim(run_id))
        return self._runs.get(run_id)

    def _take_over(self, claim: Claim) -> None:
        """Go on where the checkpoint says, and publish again what may not have reached the tracks log."""
        record, checkpoint = claim.record, claim.checkpoint
        if checkpoint.next_index:
            log.info(
                "took over stream=%s run=%s index=%d epoch=%d",
                record.run.stream,
                claim.run_id,
                checkpoint.next_index,
                claim.epoch,
            )
        again = self._store.outcomes(claim.run_id, (checkpoint.confirmed_index, checkpoint.next_index))
        self._broker.publish(tracks_log(record.run.stream), *again)
        if record.status is RunStatus.RUNNING:
            tracker = self._open_tracker(record.run)
            state = RunState.take_over(claim, tracker, keep_detections=self._keep_detections)
            self._runs[claim.run_id] = state
            self._track(state)  # what waited in the store comes from nobody again
        else:
            self._publish_end(_end_of(record))

    def _receive_frame(self, state: RunState, delivery: Delivery, message: FrameDetections | FrameLost) -> None:
        if message.index < state.committed_index or message.index in state.spilled:
            delivery.ack()  # a repeat of what the store holds
            return
        state.unanswered.append(delivery)
        if state.knows(message.index):
            return  # a repeat: answered with the one it repeats
        state.take(message)
        self._track(state)
        if sum(len(other.unanswered) for other in self._runs.values()) > UNANSWERED:
            self._make_room()

    def _track(self, state: RunState) -> None:
        while state.track_next():
            if len(state.done) >= self._commit_frames:
                self._commit(state)

    def _make_room(self) -> None:
        """Let the store have what is done, and keep what waits."""
        for state in list(self._runs.values()):
            fresh = {index: message for index, message in state.waiting.items() if index not in state.spilled}
            if fresh:
                self._store.spill(state.claim, {index: wire.encode(message) for index, message in fresh.items()})
                state.spilled.update(fresh)
            self._commit(state)

    @staticmethod
    def _receive_end(state: RunState, delivery: Delivery, message: RunEnded) -> None:
        if state.end is not None:
            delivery.ack()  # a repeat, or a second opinion
            return
        state.end = message
        state.published = max(state.published, message.frame_count)
        state.unanswered.append(delivery)

    def _commit_due(self, *, idle: bool, behind: bool) -> None:
        late = time.monotonic() - self._last_commit >= self._commit_seconds
        for state in list(self._runs.values()):
            due = idle or late or (state.live and not behind)
            if state.finished or len(state.done) >= self._commit_frames or (due and state.done):
                self._commit(state)
        if late:
            self._last_commit = time.monotonic()

    def _commit(self, state: RunState) -> None:
        """The promise of exactly once lives in this order: commit, publish, acknowledge."""
        if state.done:
            self._store.commit(state.claim, state.batch())
            self.committed = True
            self._broker.publish(tracks_log(state.claim.record.run.stream), *state.done)
            state.committed()
        if state.finished:
            self._end(state)
        self._answer(state)

    def _end(self, state: RunState) -> None:
        assert state.end is not None  # noqa: S101  # `finished` says so
        # a publisher that died may have got one frame further than the end tells that was published for it
        end = replace(state.end, frame_count=state.published)
        self._store.end_run(state.claim, end.status, end.frame_count)
        del self._runs[state.claim.run_id]
        self._publish_end(end)

    def _publish_end(self, end: RunEnded) -> None:
        self._broker.publish(tracks_log(end.stream), end)
        self._ended[end.run_id] = None
        if len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    @staticmethod
    def _answer(state: RunState) -> None:
        for delivery in state.answerable():
            delivery.ack()


def _end_of(record: RunRecord) -> RunEnded:
    return RunEnded(record.run.run_id, record.run.stream, record.ledger.published, record.status)
