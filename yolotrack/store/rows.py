"""Values to rows and back. Nothing here touches a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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

if TYPE_CHECKING:
    import supervision as sv
    from sqlalchemy import Row

RowValues: TypeAlias = dict[str, Any]
ObservationRow: TypeAlias = tuple[Any, ...]
"""The columns of `observations`, in order."""


@dataclass(frozen=True, slots=True)
class BatchRows:
    """The rows of some frames, table by table."""

    frames: list[RowValues] = field(default_factory=list)
    observations: list[ObservationRow] = field(default_factory=list)
    failures: list[RowValues] = field(default_factory=list)
    tracks: list[RowValues] = field(default_factory=list)
    classes: list[RowValues] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    """Frames by the ledger's column they count in."""


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
    )


def batch_rows(run: int, frames: Iterable[FrameTracks]) -> BatchRows:
    """Everything that some frames add to the tables, run number `run`."""
    rows = BatchRows(outcomes={outcome.value: 0 for outcome in Outcome})
    sums: dict[tuple[int, int], RowValues] = {}
    names: dict[int, str] = {}
    for frame in frames:
        rows.frames.append(_frame_row(run, frame))
        rows.outcomes[frame.outcome.value] += 1
        if frame.outcome is not Outcome.TRACKED:
            rows.failures.append(_failure_row(run, frame))
        elif len(frame.tracks):
            seen = _observation_rows(run, frame)
            _add_to_sums(sums, seen, frame.media_time)
            names.update(_class_names(frame.tracks))
            rows.observations.extend(seen)
    rows.tracks.extend(sums.values())
    rows.classes.extend({"run": run, "class_id": number, "name": name} for number, name in names.items())
    return rows


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
    """One summary a track out of rows per track and class, ordered by track."""
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
    )


def _frame_row(run: int, frame: FrameTracks) -> RowValues:
    return {
        "run": run,
        "frame": frame.index,
        "media_time": frame.media_time,
        "captured_at": frame.captured_at,
    }


def _failure_row(run: int, frame: FrameTracks) -> RowValues:
    return {"run": run, "frame": frame.index, "outcome": frame.outcome.value, "reason": frame.reason}


def _observation_rows(run: int, frame: FrameTracks) -> list[ObservationRow]:
    columns = zip(
        _column(frame.tracks.tracker_id, np.int64),
        _column(frame.tracks.class_id, np.int64),
        # As float32, sums of confidences are exact in a double, so they do not depend on how frames fell into batches.
        _column(frame.tracks.confidence, np.float32),
        _column(frame.tracks.xyxy, np.float32),
        strict=True,
    )
    index = frame.index
    return [(run, index, track, kind, confidence, *box) for track, kind, confidence, box in columns]


def _column(values: Any, kind: type[np.generic]) -> list[Any]:
    """Plain numbers: numpy's own scalars are slow to bind, one by one."""
    return np.asarray(values, dtype=kind).tolist()  # type: ignore[no-any-return]


def _class_names(tracks: sv.Detections) -> Iterator[tuple[int, str]]:
    return zip(_column(tracks.class_id, np.int64), map(str, tracks.data["class_name"]), strict=True)


def _add_to_sums(sums: dict[tuple[int, int], RowValues], seen: list[ObservationRow], media_time: float) -> None:
    for run, frame, track, class_id, confidence, *_ in seen:
        total = sums.get((track, class_id))
        if total is None:
            sums[track, class_id] = _first_sum(run, frame, track, class_id, confidence, media_time)
        else:
            total["observations"] += 1
            total["confidence_sum"] += confidence
            total["last_frame"] = frame
            total["last_time"] = media_time


def _first_sum(run: int, frame: int, track: int, class_id: int, confidence: float, media_time: float) -> RowValues:
    return {
        "run": run,
        "track": track,
        "class_id": class_id,
        "observations": 1,
        "confidence_sum": confidence,
        "first_frame": frame,
        "last_frame": frame,
        "first_time": media_time,
        "last_time": media_time,
    }
