"""publish: pictures out of a source into the broker. The one place that sees consecutive pictures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import count
from threading import Event
from typing import TypeAlias

from yolotrack.broker.base import Broker, tracks_log
from yolotrack.model import (
    Frame,
    FrameLost,
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
from yolotrack.video.base import Source

EstimateMotion: TypeAlias = Callable[[Pixels], "tuple[float, ...] | None"]
"""Camera motion from the picture before to this one, as `Frame.motion`; called once for every picture, in order."""
Encode: TypeAlias = Callable[[Pixels], bytes]
"""A picture as it travels."""

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
    on_frame: Callable[[int], None] = lambda _: None,
) -> RunEnded:
    """Publish every picture of `source` and the start and end of the run; return its end.

    Setting `stop` ends the run after the current frame, as `interrupted`. So does an error of the source, which
    is raised again once the end of the run is published: what was read before is kept. A `KeyboardInterrupt` leaves at
    once, without an end. `encode` where pictures leave the process. `on_frame` is told how many frames are published
    so far.
    """
    index = 0
    status = RunStatus.INTERRUPTED
    with ExitStack() as stack:
        backlog = stack.enter_context(closing(Backlog(broker, run))) if run.mode is Mode.LIVE else None
        broker.publish(shard, RunStarted(run))
        try:
            for picture in source:
                motion = estimate_motion(picture.pixels) if estimate_motion else None
                pixels = encode(picture.pixels) if encode else picture.pixels
                frame = Frame(run.run_id, run.stream, index, picture.media_time, utc_now(), pixels, motion)
                if not _publish_frame(broker, shard, frame, backlog, stop):
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
        return _publish_end(broker, shard, RunEnded(run.run_id, run.stream, index, status))


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
    if not detect:  # its outcome first: should we die in between, nobody waits for it
        where = (frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)
        broker.publish(shard, FrameLost(*where, Outcome.DROPPED, "the pipeline was behind"))
    broker.publish_frame(frame, detect=detect)


def wait_tracked(broker: Broker, run: Run, *, stop: Event, on_frame: Callable[[int], None]) -> RunEnded | None:
    """Return the end of a run when every frame has its outcome; None when `stop` is set before.

    It is what the workers hold for the end: another than was published, where they took the publisher for dead.
    `on_frame` is told how many frames have their outcome so far.
    """
    told = outcomes(broker.read(tracks_log(run.stream), run.started_at), run.run_id, stop=stop)
    for frames in count(1):
        try:
            next(told)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        on_frame(frames)
    return None
