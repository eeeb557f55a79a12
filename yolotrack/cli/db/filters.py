"""Which runs and observations: options that commands share, and the selection that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import options
from yolotrack.cli.db import ranges
from yolotrack.errors import NotFound, UsageError
from yolotrack.store.base import OBSERVATION_COLUMNS, Selection

if TYPE_CHECKING:
    import pyarrow as pa

    from yolotrack.model import RunRecord
    from yolotrack.store.base import Store

ALL = "all"

Runs = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Id, beginning of an id, latest or all; may be repeated. Default: the newest run of each stream.",
    ),
]
Stream = Annotated[str | None, typer.Option("--stream", metavar="NAME", help="Only runs of this stream.")]
TrackIds = Annotated[
    list[str] | None,
    typer.Option("--track-id", metavar="N", help="One track, or 3:9 for those from 3 to 9; may be repeated."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAMES", help="Names or numbers, as in person,car or 0,2; may be repeated."),
]
Frames = Annotated[str | None, typer.Option("--frames", metavar="A:B", help="From frame A up to, and without, B.")]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="A-B", help="In the video: 70:80, 1:10-1:20 or 00:01:10:00:01:20."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Captured then or later: ISO 8601, local time unless it says a zone."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Captured before then.")]
MinConf = Annotated[float | None, typer.Option("--min-conf", min=0, max=1, help="Least confidence, 0-1.")]
Box = Annotated[
    str | None,
    typer.Option("--box", metavar="X1,Y1,X2,Y2", help="Centre within this box, edges included, pixels."),
]
Order = Annotated[
    str | None,
    typer.Option("--order", metavar="COLUMNS", help="As in class_name,-confidence: - descends."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, max=options.LAST_ID, metavar="N", help="At most so many rows.")
]


@dataclass(frozen=True, slots=True)
class Filters:
    """The options as they were typed."""

    track_ids: list[str] | None = None
    classes: list[str] | None = None
    frames: str | None = None
    time: str | None = None
    since: str | None = None
    until: str | None = None
    min_conf: float | None = None
    box: str | None = None
    order: str | None = None
    limit: int | None = None

    @property
    def only_tracks(self) -> bool:
        """Nothing selects but tracks, if anything does."""
        others = (self.classes, self.frames, self.time, self.since, self.until, self.min_conf, self.box)
        return all(other in (None, []) for other in others)

    def selection(self) -> Selection:
        """Everything but the runs. `UsageError` for what makes no sense."""
        since = None if self.since is None else ranges.parse_instant(self.since, "--since")
        until = None if self.until is None else ranges.parse_instant(self.until, "--until")
        if since is not None and until is not None and until <= since:
            raise UsageError(f"--until {self.until} is not after --since {self.since}")
        return Selection(
            run_ids=(),
            track_ids=ranges.parse_tracks(self.track_ids or ()),
            classes=ranges.parse_classes(self.classes or ()),
            frames=(None, None) if self.frames is None else ranges.parse_frames(self.frames),
            media_time=(None, None) if self.time is None else ranges.parse_time(self.time),
            captured_at=(since, until),
            min_confidence=self.min_conf,
            box=None if self.box is None else ranges.parse_box(self.box),
            order=() if self.order is None else ranges.parse_order(self.order, OBSERVATION_COLUMNS),
            limit=self.limit,
        )


def chosen_runs(store: Store, names: list[str] | None, stream: str | None) -> list[RunRecord]:
    """Those that `--run` and `--stream` mean, as named, else oldest first. `NotFound` where there is none."""
    if not names:
        return _newest_of_each(store) if stream is None else [store.find_run("latest", stream=stream)]
    found = {
        record.run.run_id: record
        for name in names
        for record in (_all(store, stream) if name == ALL else [store.find_run(name, stream=stream)])
    }
    return list(found.values())


def run_by_run(store: Store, selection: Selection) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of each run of a selection, as named; a limit is each run's. `NotFound`, at once, as in `Store.select`
    of all of them."""
    store.select(selection)
    return (_of_run(store, selection, run_id) for run_id in selection.run_ids)


def _of_run(store: Store, selection: Selection, run_id: str) -> Iterator[pa.RecordBatch]:
    """A class that only other runs know is no mistake."""
    known = tuple(kind for kind in selection.classes if _knows(store, run_id, kind))
    limit = 0 if selection.classes and not known else selection.limit
    return store.select(replace(selection, run_ids=(run_id,), classes=known, limit=limit))


def _knows(store: Store, run_id: str, kind: int | str) -> bool:
    try:
        store.select(Selection((run_id,), classes=(kind,)))
    except NotFound:
        return False
    return True


def _newest_of_each(store: Store) -> list[RunRecord]:
    newest: dict[str, RunRecord] = {}
    for record in store.runs():
        newest.pop(record.run.stream, None)
        newest[record.run.stream] = record
    return list(newest.values()) or [store.find_run("latest")]


def _all(store: Store, stream: str | None) -> list[RunRecord]:
    records = [record for record in store.runs() if stream in (None, record.run.stream)]
    return records or [store.find_run("latest", stream=stream)]
