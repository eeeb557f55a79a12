"""publish: pictures out of a source into the broker. The one place that sees consecutive pictures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import count
from threading import Event
from typing import TypeAlias

import numpy as np

from yolotrack.broker.base import Broker, tracks_log
from yolotrack.errors import BadPicture
from yolotrack.model import (
    Frame,
    FrameLost,
    FrameTracks,
    Mode,
    Outcome,
    Pixels,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
    utc_now,
)
from yolotrack.roles.backlog import Backlog
from yolotrack.roles.compile import outcomes
from yolotrack.roles.fence import Fence
from yolotrack.video.base import Source

EstimateMotion: TypeAlias = Callable[[Pixels], "tuple[float, ...] | None"]
"""Camera motion from the picture before to this one, as `Frame.motion`; called once for every picture, in order."""
Encode: TypeAlias = Callable[[Pixels], bytes]
"""A picture as it travels; `BadPicture` where it cannot."""

ROOM_SECONDS = 0.2


def publish(
    source: Source,
    run: Run,
    broker: Broker,
    shard: str,
    *,
    stop: Event,
    estimate_motion: EstimateMotion | None = None,
    encode: Encode | None = None,
    fence: Fence | None = None,
    on_frame: Callable[[int], None] = lambda _: None,
) -> RunEnded:
    """Publish every picture of `source` and the start and end of the run; return its end.

    Setting `stop` ends the run after the current frame, as `interrupted`. So does an error of the source, which
    is raised again once the end of the run is published: what was read before is kept. A `KeyboardInterrupt` leaves at
    once, without an end. `encode` where pictures leave the process; a picture that it refuses becomes a failed frame,
    black in the video log. `fence` where others may end the run: it stops then, and their end is returned.
    `on_frame` is told how many frames are published so far.
    """
    index = 0
    status = RunStatus.INTERRUPTED
    with ExitStack() as stack:
        backlog = stack.enter_context(closing(Backlog(broker, run))) if run.mode is Mode.LIVE else None
        broker.publish(shard, RunStarted(run))
        try:
            for picture in source:
                if fence is not None and (end := fence.ended()) is not None:
                    return end
                motion = estimate_motion(picture.pixels) if estimate_motion else None
                pixels, refusal = _encoded(picture.pixels, encode) if encode else (picture.pixels, "")
                frame = Frame(run.run_id, run.stream, index, picture.media_time, utc_now(), pixels, motion)
                if refusal:
                    _publish_lost(broker, shard, frame, Outcome.FAILED, refusal)
                elif not _publish_frame(broker, shard, frame, backlog, stop):
                    break
                index += 1
                on_frame(index)
                if stop.is_set():
                    break
            else:
                status = RunStatus.INTERRUPTED if stop.is_set() else RunStatus.COMPLETE
        except Exception:  # whoever interrupts has no patience with a broker that is away
            _publish_end(broker, shard, RunEnded(run.run_id, run.stream, index, status))
            raise
        mine = _publish_end(broker, shard, RunEnded(run.run_id, run.stream, index, status))
        return (fence.ended_at_last(stop) if fence is not None else None) or mine


def _encoded(pixels: Pixels, encode: Encode) -> tuple[bytes, str]:
    """A picture as it travels; where it cannot, a black one in its place, and why."""
    try:
        return encode(pixels), ""
    except BadPicture as error:
        return encode(np.zeros_like(pixels)), str(error)


def _publish_end(broker: Broker, shard: str, end: RunEnded) -> RunEnded:
    broker.settle()  # an end that counts a frame must not come before it
    broker.publish(shard, end)
    return end


def _publish_frame(broker: Broker, shard: str, frame: Frame, backlog: Backlog | None, stop: Event) -> bool:
    """Whether it was published: an archive, which has no backlog, waits for room, unless it is stopped."""
    if backlog is not None:
        _publish_live(broker, shard, frame, backlog)
        return True
    while not broker.wait_for_room(ROOM_SECONDS):
        if stop.is_set():
            return False
    broker.publish_frame(frame)
    return True


def _publish_live(broker: Broker, shard: str, frame: Frame, backlog: Backlog) -> None:
    detect = broker.has_room() and not backlog.behind
    backlog.note(frame.index)
    if detect:
        broker.publish_frame(frame)
    else:
        _publish_lost(broker, shard, frame, Outcome.DROPPED, "the pipeline was behind")


def _publish_lost(broker: Broker, shard: str, frame: Frame, outcome: Outcome, reason: str) -> None:
    """Its outcome first: should we die in between, nobody waits for it."""
    where = (frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)
    broker.publish(shard, FrameLost(*where, outcome, reason))
    broker.publish_frame(frame, detect=False)


def wait_tracked(
    broker: Broker,
    run: Run,
    *,
    stop: Event,
    on_frame: Callable[[int], None],
    on_outcome: Callable[[FrameTracks], None] = lambda _: None,
) -> RunEnded | None:
    """Return the end of a run when every frame has its outcome; None when `stop` is set before.

    It is what the workers hold for the end: another than was published, where they took the publisher for dead.
    `on_outcome` is told of every outcome, `on_frame` how many there are so far.
    """
    told = outcomes(broker.read(tracks_log(run.stream), run.started_at), run.run_id, stop=stop)
    for frames in count(1):
        try:
            on_outcome(next(told))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        on_frame(frames)
    return None
