"""`yolotrack eval`: how good tracks are, of runs or of trackers on given detections, against ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrack.cli import common, options
from yolotrack.cli.db import filters, ranges
from yolotrack.cli.listing import SHORTEST_ID, Column, print_table
from yolotrack.errors import SourceError, UsageError

if TYPE_CHECKING:
    import supervision as sv

    from yolotrack.cli.report import ProgressReporter
    from yolotrack.config import Settings, TrackerSettings
    from yolotrack.evaluate import MotBoxes, Scores

USUAL_RATE = 30.0
"""Frames a second, which the patience of the trackers in the package is counted in."""
FAMILIES = {
    "HOTA": {"hota": "HOTA", "deta": "DetA", "assa": "AssA"},
    "CLEAR": {
        "mota": "MOTA",
        "motp": "MOTP",
        "recall": "recall",
        "precision": "precision",
        "id_switches": "identity switches",
        "fragmentations": "fragmentations",
        "false_positives": "false positives",
        "misses": "misses",
        "mostly_tracked": "mostly tracked",
        "mostly_lost": "mostly lost",
    },
    "Identity": {"idf1": "IDF1", "idp": "IDP", "idr": "IDR"},
}
"""The fields of `Scores` and what people call them, by the method that they belong to."""


def evaluate(
    ground_truth: Annotated[Path, typer.Option("--gt", metavar="FILE", help="The truth, as MOTChallenge text.")],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Id, beginning of an id, or latest (default); may be repeated."),
    ] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="Only runs of this stream.")] = None,
    classes: options.Classes = None,
    detections: Annotated[
        Path | None, typer.Option("--detections", metavar="FILE", help="Score trackers on these, as MOTChallenge text.")
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option("--tracker", metavar="NAME", help="For --detections: which; may be repeated."),
    ] = None,
    fps: Annotated[
        float, typer.Option("--fps", min=0.1, help="For --detections: frames a second of their video.")
    ] = USUAL_RATE,
    metrics: Annotated[str, typer.Option("--metrics", help="Of HOTA, CLEAR and Identity a list.")] = ",".join(FAMILIES),
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Score tracks against ground truth: HOTA, MOTA, IDF1 and what they are made of, as TrackEval counts them.

    Tracks are those of a run that took every frame of the video, or what trackers make of given detections.
    """
    from yolotrack.cli.signals import leaving

    if detections is not None and (run or stream or classes):
        raise UsageError("--detections takes no run: leave out --run, --stream and --classes")
    if detections is None and tracker:
        raise UsageError("--tracker needs --detections; `yolotrack retrack` gives a run another tracker")
    families = _families(metrics)
    names: list[str | None] = [*tracker] if tracker else [None]
    settings = [common.settings_from(config, db, log_level, tracker=options.given(name=name)) for name in names]
    with leaving():
        truth = _truth(ground_truth)
        if detections is not None:
            scored = _score_trackers(truth, detections, [each.tracker for each in settings], fps, quiet=quiet)
        else:
            scored = _score_runs(truth, settings[0], run or ["latest"], stream, classes)
        if as_json:
            print(json.dumps([_as_dict(each, families) for each in scored], indent=2))
        else:
            _print_table(truth, list(scored), families)


@dataclass(frozen=True, slots=True)
class _Scored:
    """One column of the table."""

    title: str
    described: dict[str, str]
    """What was scored, for programs."""
    scores: Scores


def _families(text: str) -> list[str]:
    known = {name.lower(): name for name in FAMILIES}
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    if not wanted or not set(wanted) <= known.keys():
        raise UsageError(f"--metrics {text}: choose among {', '.join(known.values())}")
    return [name for key, name in known.items() if key in wanted]


def _truth(path: Path) -> MotBoxes:
    from yolotrack.evaluate import read_mot

    truth = read_mot(path)
    if not truth.frames:
        raise SourceError(f"{path} holds no boxes, and nothing can be scored against it")
    return truth


def _score_runs(
    truth: MotBoxes, settings: Settings, names: Sequence[str], stream: str | None, classes: str | None
) -> Iterator[_Scored]:
    from yolotrack.evaluate import MotBoxes
    from yolotrack.evaluate import evaluate as score
    from yolotrack.store.base import Selection
    from yolotrack.store.sql import open_store

    wanted = ranges.parse_classes([classes or ""])
    with closing(open_store(settings.database, read_only=True)) as store:
        records = [store.find_run(name, stream=stream) for name in names]
        found = filters.run_by_run(store, Selection(tuple(record.run.run_id for record in records), classes=wanted))
        for record, batches in zip(records, found, strict=True):
            described = {"run_id": record.run.run_id, "stream": record.run.stream, "tracker": record.tracker}
            title = f"{record.run.run_id[:SHORTEST_ID]}\n{record.run.stream}\n{record.tracker}"
            yield _Scored(title, described, score(truth, MotBoxes.selected(batches)))


def _score_trackers(
    truth: MotBoxes, path: Path, settings: Sequence[TrackerSettings], fps: float, *, quiet: bool
) -> Iterator[_Scored]:
    from yolotrack.cli.report import ProgressReporter
    from yolotrack.evaluate import as_frames, follow, read_mot
    from yolotrack.evaluate import evaluate as score
    from yolotrack.vision.tracker import open_tracker

    trackers = [open_tracker(each, Fraction(fps)) for each in settings]
    found = read_mot(path)
    frames = as_frames(found, max(truth.frames, found.frames))
    with ProgressReporter(quiet=quiet) as reporter:
        for tracker in trackers:
            tracks = follow(_reported(frames, tracker.name, reporter), tracker, fps)
            yield _Scored(tracker.name, {"detections": str(path), "tracker": tracker.name}, score(truth, tracks))


def _reported(frames: Sequence[sv.Detections], name: str, reporter: ProgressReporter) -> Iterator[sv.Detections]:
    """The frames, with how far a tracker is in them."""
    from yolotrack.model import Mode, Run, utc_now
    from yolotrack.pipeline import Progress

    shown = Run("", name, "", utc_now(), Mode.ARCHIVE, 0, 0, None)
    for count, seen in enumerate(frames, start=1):
        yield seen
        reporter(Progress(shown, len(frames), count, 0, len(seen)))


def _as_dict(scored: _Scored, families: Sequence[str]) -> dict[str, Any]:
    values = asdict(scored.scores)
    chosen = {name: values[name] for family in families for name in FAMILIES[family]}
    return scored.described | {"scores": {name: round(value, 6) for name, value in chosen.items()}}


def _print_table(truth: MotBoxes, scored: Sequence[_Scored], families: Sequence[str]) -> None:
    """A column for each that was scored, so that any number of scores fits a terminal."""
    objects = len(set(truth.track_id.tolist()))
    title = f"against {len(truth.frame)} boxes of {objects} objects in {truth.frames} frames"
    columns = [Column(""), *(Column(each.title, right=True) for each in scored)]
    names = [pair for family in families for pair in FAMILIES[family].items()]
    print_table(columns, [(shown, *(_cell(each.scores, name) for each in scored)) for name, shown in names], title)


def _cell(scores: Scores, name: str) -> str:
    value = getattr(scores, name)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
