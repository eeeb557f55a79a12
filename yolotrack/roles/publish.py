"""publish: pictures out of a source into the broker. The one place that sees consecutive pictures."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from yolotrack.broker.base import Broker
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
from yolotrack.video.base import Source

EstimateMotion = Callable[[Pixels], "tuple[float, ...] | None"]
"""Camera motion from the picture before to this one, as `Frame.motion`; called once for every picture, in order."""


def publish(
    source: Source, run: Run, broker: Broker, shard: str, *, stop: Event, estimate_motion: EstimateMotion | None = None
) -> int:
    """Publish every picture of `source` and the start and end of the run; return the number of frames.

    Setting `stop` ends the run after the current frame, as `interrupted`. So does an error of the source, which
    is raised again once the end of the run is published: what was read before is kept.
    """
    broker.publish(shard, RunStarted(run))
    index = 0
    complete = False
    try:
        for picture in source:
            motion = estimate_motion(picture.pixels) if estimate_motion else None
            frame = Frame(run.run_id, run.stream, index, picture.media_time, utc_now(), picture.pixels, motion)
            _publish_frame(broker, shard, frame, run.mode)
            index += 1
            if stop.is_set():
                break
        else:
            complete = not stop.is_set()
    finally:
        status = RunStatus.COMPLETE if complete else RunStatus.INTERRUPTED
        broker.publish(shard, RunEnded(run.run_id, run.stream, index, status))
    return index


def _publish_frame(broker: Broker, shard: str, frame: Frame, mode: Mode) -> None:
    detect = mode is Mode.ARCHIVE or broker.has_room()
    broker.publish_frame(frame, detect=detect)
    if not detect:
        broker.publish(
            shard,
            FrameLost(
                frame.run_id,
                frame.stream,
                frame.index,
                frame.media_time,
                frame.captured_at,
                Outcome.DROPPED,
                "the pipeline was behind",
            ),
        )
