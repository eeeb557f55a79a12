"""retrack: what the detector found in one run, tracked again into another. No pictures, no model, no broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from threading import Event

from yolotrack import wire
from yolotrack.errors import NotFound, StoreError, WireError
from yolotrack.model import (
    FrameDetections,
    FrameLost,
    FrameTracks,
    Outcome,
    Run,
    RunRecord,
    RunStatus,
    new_run_id,
    utc_now,
)
from yolotrack.roles.books import close_books
from yolotrack.roles.run_state import RunState
from yolotrack.roles.track import OpenTracker
from yolotrack.store.base import Store

COMMIT_FRAMES = 100
"""Per transaction. Nobody waits for these frames, so it may be large; a crash costs no more than doing them again."""


def retrack(
    store: Store,
    original: RunRecord,
    open_tracker: OpenTracker,
    *,
    stop: Event,
    keep_detections: bool = False,
    on_frame: Callable[[FrameTracks], None] = lambda _: None,
) -> str:
    """Track the kept detections of a run again, and return the id of the new run.

    Its rows are those that the original would have had with this tracker. Stream, source, model and the frames'
    indexes and times are the original's; a frame that the detector never finished keeps its outcome and reason. So
    does the run its status, but for one that still goes on: its frames so far make a run that is `interrupted`.

    Setting `stop` ends it after the current frame, an error at once: what is tracked is committed, as far as it can
    be, and the new run is `interrupted`. `NotFound` when no detections were kept; there is no new run then. `on_frame`
    is told each frame in order, before it is committed.
    """
    _require_kept(store, original)
    run = replace(original.run, run_id=new_run_id(), started_at=utc_now())
    tracker = open_tracker(run)
    try:
        store.start_run(run)
        state = RunState.take_over(store.claim(run.run_id), tracker, keep_detections=keep_detections)
        whole = _track(store, state, replay(store, original, run), stop, on_frame)
        complete = whole and original.status is RunStatus.COMPLETE
        store.end_run(state.claim, RunStatus.COMPLETE if complete else RunStatus.INTERRUPTED, state.next_index)
    except BaseException:
        close_books(store, run.run_id)
        raise
    return run.run_id


def replay(store: Store, original: RunRecord, run: Run) -> Iterator[FrameDetections | FrameLost]:
    """Every frame of `original` that has an outcome, in index order, as it came to the tracker; now as one of `run`."""
    bodies = store.detections(original.run.run_id)
    index, body = next(bodies, (-1, b""))
    for frame in store.outcomes(original.run.run_id, (0, original.ledger.settled)):
        where = (run.run_id, run.stream, frame.index, frame.media_time, frame.captured_at)
        if frame.index == index:
            yield _found(where, body, original)
            index, body = next(bodies, (-1, b""))
        elif frame.outcome is Outcome.TRACKED:
            raise NotFound(
                f"run {original.run.run_id} keeps no detections of frame {frame.index}: a worker without "
                "`database.detections: true` tracked it, so it cannot be tracked again"
            )
        else:
            yield FrameLost(*where, frame.outcome, frame.reason)


def _require_kept(store: Store, original: RunRecord) -> None:
    if original.ledger.tracked and next(store.detections(original.run.run_id), None) is None:
        raise NotFound(
            f"run {original.run.run_id} keeps no detections to track again: set `database.detections: true` "
            "before you track what you may want to track again"
        )


def _track(
    store: Store,
    state: RunState,
    messages: Iterator[FrameDetections | FrameLost],
    stop: Event,
    on_frame: Callable[[FrameTracks], None],
) -> bool:
    """Whether all of them were tracked. What is, is committed."""
    for message in messages:
        state.take(message)
        state.track_next()
        on_frame(state.done[-1])
        if len(state.done) >= COMMIT_FRAMES:
            _commit(store, state)
        if stop.is_set():
            break
    _commit(store, state)
    return not stop.is_set()


def _commit(store: Store, state: RunState) -> None:
    if state.done:
        store.commit(state.claim, state.batch())
        state.committed()


def _found(where: tuple[str, str, int, float, datetime], body: bytes, original: RunRecord) -> FrameDetections:
    try:
        detections, motion = wire.decode_kept(body)
    except WireError as error:
        raise StoreError(f"frame {where[2]} of run {original.run.run_id} cannot be tracked again: {error}") from error
    return FrameDetections(*where, detections, original.model, original.model_digest, motion)
