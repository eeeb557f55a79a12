"""The contract of a store: one short transaction per batch, fenced by an epoch; queries apart, read-only, streaming."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from yolotrack.model import FrameTracks, Observation, Run, RunRecord, RunStatus, TrackSummary

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a new owner of a run needs to go on as if nothing had happened."""

    next_index: int = 0
    """Every frame below it has an outcome in the store."""
    confirmed_index: int = 0
    """Every frame below it is on the tracks log for certain; what follows must be published again."""
    tracker_state: bytes = b""
    """The tracker's snapshot after frame `next_index - 1`; empty before the first frame."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes: the frames from the last `next_index` up to the checkpoint's, all, in order."""

    frames: tuple[FrameTracks, ...]
    checkpoint: Checkpoint
    published: int
    """Frames known to be published so far; never shrinks the ledger."""
    model_digest: str = ""
    model: str = ""
    tracker: str = ""
    detections: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """By index, what the detector found in these frames, as bodies that mean nothing to the store; kept to track
    them again. Empty unless the user asked for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a run, until somebody else claims it."""

    run_id: str
    epoch: int
    checkpoint: Checkpoint
    record: RunRecord
    spilled: tuple[bytes, ...] = field(default=(), repr=False)
    """What `spill` kept of frames from the checkpoint's `next_index` on, in index order."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which observations of which runs, and in what order. What is left out does not select; all that is given must
    hold. Ranges of two are half-open, None on a side leaves it open."""

    run_ids: tuple[str, ...]
    """Whole ids."""
    track_ids: tuple[tuple[int, int], ...] = ()
    """First and last of each range, both included; a track in any of them."""
    classes: tuple[int | str, ...] = ()
    """Ids or names; a class that is any of them."""
    frames: tuple[int | None, int | None] = (None, None)
    media_time: tuple[float | None, float | None] = (None, None)
    """Seconds."""
    captured_at: tuple[datetime | None, datetime | None] = (None, None)
    min_confidence: float | None = None
    box: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 in pixels: the centre of the observation lies within, edges included."""
    order: tuple[str, ...] = ()
    """Columns of `OBSERVATION_COLUMNS`, "-" before one that descends. Left out: by run as named, frame, track."""
    limit: int | None = None


OBSERVATION_COLUMNS = (
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "class_id",
    "confidence",
    "tracker_id",
    "class_name",
    "frame",
    "media_time",
    "captured_at",
    "stream",
    "run_id",
)
"""Columns of `Store.select`; the first seven are those of supervision's CSVSink. Boxes and confidence are float32,
`captured_at` a UTC timestamp in microseconds, `media_time` float64 seconds, ids int64."""


class Store(Protocol):
    """Keeps runs and their tracks. Safe to call from several threads, and on one database from several processes.

    Errors are `StoreError`: `Fenced`, `NotFound`, or one line that says what the database refused.
    A call that raised wrote nothing, and the next one may well succeed: a database that another process kept locked
    for too long is such an error.
    An iterator reads one moment of the store, that of its first row, in flat memory.
    """

    def start_run(self, run: Run) -> None:
        """Remember a run as `running`. Again with the same id: no change."""

    def claim(self, run_id: str) -> Claim:
        """Own the run from now on: raises its epoch, so that commits of earlier owners are `Fenced`."""

    def commit(self, claim: Claim, batch: Batch) -> None:
        """Rows, outcomes, track summaries, ledger and checkpoint in one transaction, durable on return.

        Raises `Fenced` when the run was claimed again since. Each frame is written once: a second write of a frame
        is an error of the caller and refused by the primary key. What was spilled below the checkpoint's `next_index`
        is dropped.
        """

    def spill(self, claim: Claim, waiting: Mapping[int, bytes]) -> None:
        """Keep frames that wait for an earlier one, by index, as bodies that mean nothing to the store.

        In one transaction, durable on return; the run's next claim hands them out. Again with the same index: no
        change. Raises `Fenced` as `commit` does.
        """

    def end_run(self, claim: Claim, status: RunStatus, frame_count: int) -> None:
        """Set status, end time and `published = frame_count`, and drop what is spilled. `Fenced` as in `commit`."""

    def runs(self, status: RunStatus | None = None) -> Iterator[RunRecord]:
        """Every run, oldest first; or those of one status, which costs nothing for the others."""

    def find_run(self, name: str, *, stream: str | None = None) -> RunRecord:
        """By id, unique prefix of an id, or "latest"; of one stream alone if one is named.

        `NotFound` names what there is.
        """

    def observations(
        self, run_id: str, *, track_ids: tuple[int, ...] = (), frames: tuple[int, int] | None = None
    ) -> Iterator[Observation]:
        """Rows ordered by frame, then track; `frames` is a half-open range of indexes."""

    def outcomes(self, run_id: str, frames: tuple[int, int] | None = None) -> Iterator[FrameTracks]:
        """Every frame of the half-open range that has an outcome, in index order, as it was committed.

        Its tracks equal the committed ones exactly, ordered by id. Where there are none, all their columns are there
        all the same, and empty.
        """

    def select(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Observations in columns, `OBSERVATION_COLUMNS`, thousands a batch, in flat memory.

        At least one batch, empty where nothing is selected. `NotFound`, at once, for a run that is not there, and for
        a class that none of the runs knows: it names the nearest.
        """

    def sql(self, selection: Selection) -> str:
        """A statement that selects the same, to be run in a shell of the database; `NotFound` as in `select`."""

    def observation_counts(self) -> Mapping[str, int]:
        """How many observations each run has, by its id."""

    def tracks(self, run_id: str) -> Iterator[TrackSummary]:
        """One summary a track, ordered by id."""

    def detections(self, run_id: str) -> Iterator[tuple[int, bytes]]:
        """Index and body of every frame whose detections were kept, in index order."""

    def prune(self, run_ids: Sequence[str]) -> None:
        """Forget runs and everything of them, running ones too; a run that is not there is forgotten already.

        In parts, each in a transaction, so that other writers need not wait for long. A crash in the middle leaves a
        run that is `interrupted` and counts no frames; the next call, whatever it is asked for, finishes it.
        """

    def vacuum(self) -> None:
        """Give the room of what was forgotten back to the disk. Other writers wait meanwhile; whom it takes too long
        is told `StoreAway`, and may try again."""

    def size(self) -> int:
        """Bytes that the database takes on its disk."""

    def close(self) -> None:
        """Give everything back; idempotent."""
