"""Values to rows and back. Nothing here touches a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from yolotrack.model import (
    FrameTracks,
    Ledger,
    Mode,
    Observation,
    Outcome,
    Run,
    RunRecord,
    RunStatus,
    TrackSummary,
)
from yolotrack.store.schema import microseconds
from yolotrack.store.sums import Seen, class_names, observation_rows, seen_in, track_rows

if TYPE_CHECKING:
    import supervision as sv
    from sqlalchemy import Row

RowValues: TypeAlias = dict[str, Any]
TableRow: TypeAlias = tuple[Any, ...]
"""The columns of a table, in order."""


@dataclass(frozen=True, slots=True)
class BatchRows:
    """The rows of some frames, table by table."""

    frames: list[TableRow]
    failures: list[TableRow]
    observations: list[TableRow]
    tracks: list[TableRow]
    """What the batch adds to the sums."""
    classes: list[TableRow]
    outcomes: dict[str, int]
    """Frames by the ledger's column they count in."""
    seen: Seen | None
    """The observations in columns, if there are any."""


def run_row(run: Run) -> RowValues:
    """A new run: running, nothing published yet."""
    return {
        "run_id": run.run_id,
        "stream": run.stream,
        "source": run.source,
        "mode": run.mode.value,
        "width": run.width,
        "height": run.height,
        "rate": None if run.rate is None else f"{run.rate.numerator}/{run.rate.denominator}",
        "status": RunStatus.RUNNING.value,
        "started_at": run.started_at,
        "model_digest": "",
        "model": "",
        "tracker": "",
        "published": 0,
        "tracked": 0,
        "failed": 0,
        "dropped": 0,
    }


def run_record(row: Row[Any]) -> RunRecord:
    """A run as stored; `row` holds the columns of `runs`, and `tracks`."""
    return RunRecord(
        run=Run(
            run_id=row.run_id,
            stream=row.stream,
            source=row.source,
            started_at=row.started_at,
            mode=Mode(row.mode),
            width=row.width,
            height=row.height,
            rate=None if row.rate is None else Fraction(row.rate),
        ),
        status=RunStatus(row.status),
        ended_at=row.ended_at,
        model_digest=row.model_digest,
        model=row.model,
        tracker=row.tracker,
        ledger=Ledger(row.published, row.tracked, row.failed, row.dropped),
        tracks=row.tracks,
        last_outcome_at=row.last_outcome_at,
    )


def batch_rows(run: int, frames: Sequence[FrameTracks]) -> BatchRows:
    """Everything that some frames add to the tables, run number `run`."""
    with_tracks = [frame for frame in frames if frame.outcome is Outcome.TRACKED and len(frame.tracks)]
    seen = seen_in(with_tracks) if with_tracks else None
    return BatchRows(
        frames=[(run, frame.index, frame.media_time, microseconds(frame.captured_at)) for frame in frames],
        failures=[
            (run, frame.index, frame.outcome.value, frame.reason)
            for frame in frames
            if frame.outcome is not Outcome.TRACKED
        ],
        observations=observation_rows(run, seen) if seen else [],
        tracks=track_rows(run, seen) if seen else [],
        classes=[(run, *named) for named in class_names(seen).items()] if seen else [],
        outcomes={outcome.value: sum(frame.outcome is outcome for frame in frames) for outcome in Outcome},
        seen=seen,
    )


def observation(row: Iterable[Any], run_id: str, stream: str, names: dict[int, str]) -> Observation:
    """One observation; `row` is frame, track, time, moment, class, confidence and box, in this order."""
    frame, track, media_time, captured_at, class_id, confidence, *box = row
    return Observation(
        run_id,
        stream,
        frame,
        track,
        media_time,
        captured_at,
        class_id,
        names[class_id],
        confidence,
        (box[0], box[1], box[2], box[3]),
    )


def frame_outcomes(
    rows: Iterable[Sequence[Any]], run_id: str, stream: str, names: dict[int, str]
) -> Iterator[FrameTracks]:
    """One value a frame out of rows per frame and track, ordered by both; their columns are `select_outcomes`'."""
    for _, of_frame in groupby(rows, key=itemgetter(0)):
        seen = list(of_frame)
        index, media_time, captured_at, outcome, reason, first_track, *_ = seen[0]
        yield FrameTracks(
            run_id,
            stream,
            index,
            media_time,
            captured_at,
            Outcome.TRACKED if outcome is None else Outcome(outcome),
            _tracks([] if first_track is None else seen, names),
            reason or "",
        )


def track_summaries(rows: Iterable[Row[Any]], run_id: str, names: dict[int, str]) -> Iterator[TrackSummary]:
    """One summary a track out of rows per track and class, with the columns of its path, ordered by track."""
    for track, votes in groupby(rows, key=attrgetter("track")):
        yield _track_summary(run_id, track, list(votes), names)


def _tracks(rows: Sequence[Sequence[Any]], names: dict[int, str]) -> sv.Detections:
    import supervision as sv

    return sv.Detections(
        xyxy=np.array([row[8:12] for row in rows], np.float32).reshape(-1, 4),
        confidence=np.array([row[7] for row in rows], np.float32),
        class_id=np.array([row[6] for row in rows], int),
        tracker_id=np.array([row[5] for row in rows], int),
        data={"class_name": np.array([names[row[6]] for row in rows], str)},
    )


def _track_summary(run_id: str, track: int, votes: list[Row[Any]], names: dict[int, str]) -> TrackSummary:
    winner = max(votes, key=lambda vote: (vote.confidence_sum, -vote.class_id)).class_id
    count = sum(vote.observations for vote in votes)
    return TrackSummary(
        run_id=run_id,
        track_id=track,
        class_id=winner,
        class_name=names[winner],
        first_frame=min(vote.first_frame for vote in votes),
        last_frame=max(vote.last_frame for vote in votes),
        first_time=min(vote.first_time for vote in votes),
        last_time=max(vote.last_time for vote in votes),
        observations=count,
        mean_confidence=sum(vote.confidence_sum for vote in votes) / count,
        path_length=votes[0].length,
        entry=(votes[0].entry_x, votes[0].entry_y),
        exit=(votes[0].exit_x, votes[0].exit_y),
    )
