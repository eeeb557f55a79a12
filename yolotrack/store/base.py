"""The contract of a store: one short transaction per batch, fenced by an epoch; queries apart, read-only, streaming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from yolotrack.model import FrameTracks, Observation, Run, RunRecord, RunStatus, TrackSummary


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


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a run, until somebody else claims it."""

    run_id: str
    epoch: int
    checkpoint: Checkpoint
    record: RunRecord


class Store(Protocol):
    """Keeps runs and their tracks. Safe to call from several threads; one writing connection inside.

    Errors are `StoreError`: `Fenced`, `NotFound`, or one line that says what the database refused.
    A call that raised wrote nothing.
    """

    def start_run(self, run: Run) -> None:
        """Remember a run as `running`. Again with the same id: no change."""

    def claim(self, run_id: str) -> Claim:
        """Own the run from now on: raises its epoch, so that commits of earlier owners are `Fenced`."""

    def commit(self, claim: Claim, batch: Batch) -> None:
        """Rows, outcomes, track summaries, ledger and checkpoint in one transaction, durable on return.

        Raises `Fenced` when the run was claimed again since. Each frame is written once: a second write of a frame
        is an error of the caller and refused by the primary key.
        """

    def end_run(self, claim: Claim, status: RunStatus, frame_count: int) -> None:
        """Set status, end time and `published = frame_count`. Raises `Fenced` as `commit` does."""

    def runs(self) -> Iterator[RunRecord]:
        """Every run, oldest first."""

    def find_run(self, name: str) -> RunRecord:
        """By id, unique prefix of an id, or "latest". `NotFound` names what there is."""

    def observations(
        self, run_id: str, *, track_ids: tuple[int, ...] = (), frames: tuple[int, int] | None = None
    ) -> Iterator[Observation]:
        """Rows ordered by frame, then track, in flat memory; `frames` is a half-open range of indexes."""

    def lost_frames(self, run_id: str) -> Iterator[FrameTracks]:
        """The frames that were not tracked, in order, with outcome and reason."""

    def tracks(self, run_id: str) -> Iterator[TrackSummary]:
        """One summary a track, ordered by id."""

    def close(self) -> None:
        """Give everything back; idempotent."""
