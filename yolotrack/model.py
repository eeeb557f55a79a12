"""The values that travel between roles. All frozen; all small, but for a frame's picture.

Boxes are `supervision.Detections` everywhere: `xyxy` float32 pixels of the original picture,
`confidence` float32 0-1, `class_id` int, `data["class_name"]` str, and in tracks `tracker_id` int from 1.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # these take long to import, and `--help` should not
    import numpy as np
    import numpy.typing as npt
    import supervision as sv

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""A picture: height x width x 3, BGR, contiguous."""

STREAM_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
"""What the name of a stream looks like."""


class Mode(str, Enum):
    """How a publisher meets a pipeline that is behind."""

    ARCHIVE = "archive"
    """Every frame counts: the publisher waits."""
    LIVE = "live"
    """Freshness counts: detection skips frames, which end as `dropped`."""


class RunStatus(str, Enum):
    """What became of a run."""

    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"


class Outcome(str, Enum):
    """How a published frame ended. Every frame gets exactly one."""

    TRACKED = "tracked"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of one source through the pipeline."""

    run_id: str
    stream: str
    source: str
    """As the user named it, credentials masked."""
    started_at: datetime
    mode: Mode
    width: int
    height: int
    rate: Fraction | None
    """Frames per second as the container says, None where it does not."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a run, as published."""

    run_id: str
    stream: str
    index: int
    """Counts published frames from 0 without gaps."""
    media_time: float
    """Seconds since the start of the source, from the container's timestamps; strictly increasing."""
    captured_at: datetime
    """UTC."""
    picture: Pixels | bytes
    """Pixels in one process; the JPEG, byte for byte as published, over a broker."""
    motion: tuple[float, ...] | None = None
    """Camera motion since the frame before: a 2x3 affine matrix, row by row; None when not estimated."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first message of a run on its shard."""

    run: Run


@dataclass(frozen=True, slots=True)
class FrameDetections:
    """What the detector found in one frame; no pixels."""

    run_id: str
    stream: str
    index: int
    media_time: float
    captured_at: datetime
    detections: sv.Detections
    model: str
    """What the user calls the detector."""
    model_digest: str
    """The digest of the detector; a run holds one."""
    motion: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class FrameLost:
    """A tombstone: this frame will never be tracked."""

    run_id: str
    stream: str
    index: int
    media_time: float
    captured_at: datetime
    outcome: Outcome
    """`FAILED` or `DROPPED`."""
    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last message of a run: on its shard when all is published, on the tracks log when all have an outcome."""

    run_id: str
    stream: str
    frame_count: int
    """Frames published, so the indexes are 0 to frame_count - 1."""
    status: RunStatus


@dataclass(frozen=True, slots=True)
class FrameTracks:
    """How one frame ended, and the tracks in it."""

    run_id: str
    stream: str
    index: int
    media_time: float
    captured_at: datetime
    outcome: Outcome
    tracks: sv.Detections
    """With `tracker_id`; empty unless the outcome is `TRACKED`."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelPinned:
    """A worker's offer to detect a run with its model. The first offer in the log of runs holds for all."""

    run_id: str
    stream: str
    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """Says nothing. Whoever puts one into a log, and reads up to it, has read all that was there before."""

    token: str


Message: TypeAlias = Frame | RunStarted | FrameDetections | FrameLost | RunEnded | FrameTracks | ModelPinned | Barrier
"""Everything that a broker carries."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the frames of a run are. `published = tracked + failed + dropped + in_flight`, at every moment."""

    published: int
    tracked: int
    failed: int
    dropped: int

    @property
    def settled(self) -> int:
        """Frames that have their outcome: the first ones, for a run is tracked in order."""
        return self.tracked + self.failed + self.dropped

    @property
    def in_flight(self) -> int:
        """Published frames without an outcome yet."""
        return self.published - self.settled


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store remembers it."""

    run: Run
    status: RunStatus
    ended_at: datetime | None
    model_digest: str
    model: str
    tracker: str
    ledger: Ledger
    tracks: int
    last_outcome_at: datetime | None = None
    """UTC, when frames of it last got their outcome; None before the first, and in runs of older versions."""

    def quiet_seconds(self, now: datetime) -> float:
        """Seconds since frames last got their outcome, or since the start; 0 for a run that has ended."""
        if self.status is not RunStatus.RUNNING:
            return 0.0
        return max((now - (self.last_outcome_at or self.run.started_at)).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One object over time. Its class is the confidence-weighted vote of its observations."""

    run_id: str
    track_id: int
    class_id: int
    class_name: str
    first_frame: int
    last_frame: int
    first_time: float
    last_time: float
    observations: int
    mean_confidence: float
    path_length: float = 0.0
    """Pixels that the centre of the box went, from each observation to the next."""
    entry: tuple[float, float] = (0.0, 0.0)
    """Centre of the first box, pixels."""
    exit: tuple[float, float] = (0.0, 0.0)
    """Centre of the last box."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One track in one frame: a row."""

    run_id: str
    stream: str
    frame: int
    track_id: int
    media_time: float
    captured_at: datetime
    class_id: int
    class_name: str
    confidence: float
    xyxy: tuple[float, float, float, float] = field(default=(0.0, 0.0, 0.0, 0.0))


def new_barrier() -> Barrier:
    """One that nobody else has."""
    return Barrier(new_run_id())


def new_run_id() -> str:
    """A UUIDv7 as text (RFC 9562, 5.7): 48 bits of milliseconds, then random, so ids sort by time."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def utc_now() -> datetime:
    """The current time, with its zone."""
    return datetime.now(timezone.utc)
