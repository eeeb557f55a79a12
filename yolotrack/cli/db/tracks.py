"""`yolotrack db tracks`: one object over time a row."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from yolotrack.cli import common, options
from yolotrack.cli.db import filters, ranges
from yolotrack.cli.db.output import FormatOption, Output, OutputOption, Shown
from yolotrack.cli.listing import Column, clock
from yolotrack.cli.signals import leaving

if TYPE_CHECKING:
    import pyarrow as pa

    from yolotrack.model import RunRecord, TrackSummary
    from yolotrack.store.base import Store

TRACK_COLUMNS: dict[str, type] = {
    "run_id": str,
    "stream": str,
    "track_id": int,
    "class_id": int,
    "class_name": str,
    "first_frame": int,
    "last_frame": int,
    "first_time": float,
    "last_time": float,
    "duration": float,
    "observations": int,
    "mean_confidence": float,
    "path_length": float,
    "entry_x": float,
    "entry_y": float,
    "exit_x": float,
    "exit_y": float,
}
"""What programs get of a track, as the view `v_tracks` has it; times in seconds, lengths in pixels."""

_COLUMNS = (
    Column("track", 5, right=True),
    Column("class", 6),
    Column("from", 9, right=True),
    Column("to", 9, right=True),
    Column("seen", 5, right=True),
    Column("conf", 4, right=True),
    Column("path", 6, right=True),
    Column("entry", 9),
    Column("exit", 9),
)


def tracks(
    run: filters.Runs = None,
    stream: filters.Stream = None,
    class_: filters.Classes = None,
    order: filters.Order = None,
    limit: filters.Limit = None,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Print one row a track: class, when and where it came and went, and how far it moved.

    The class is the vote of its observations, weighted by confidence. Without --run: the newest run, of each stream
    where there are several.
    """
    columns = () if order is None else ranges.parse_order(order, tuple(TRACK_COLUMNS))
    wanted = ranges.parse_classes(class_ or ())
    target = Output.asked(format_, output, overwrite)

    from yolotrack.formats.rows import arranged, batches_of
    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    with leaving(), closing(open_store(settings.database, read_only=True)) as store:
        records = filters.chosen_runs(store, run, stream)
        _require_classes(store, records, wanted)
        rows = (track_values(record, track) for record in records for track in store.tracks(record.run.run_id))
        batches = batches_of((row for row in rows if _is_one_of(row, wanted)), TRACK_COLUMNS)
        keys = (*columns, "run_id", "track_id") if columns else ()
        if not target.print(arranged(batches, keys, limit), Shown.of(records, _COLUMNS, _cells)):
            where = f"run {records[0].run.run_id}" if len(records) == 1 else f"{len(records)} runs"
            print(f"no tracks{' of that class' if wanted else ''} in {where}", file=sys.stderr)


def _require_classes(store: Store, records: Sequence[RunRecord], wanted: tuple[int | str, ...]) -> None:
    """`NotFound` for a class that nobody knows, as everywhere."""
    if wanted:
        from yolotrack.store.base import Selection

        store.select(Selection(tuple(record.run.run_id for record in records), classes=wanted))


def track_values(record: RunRecord, track: TrackSummary) -> tuple[Any, ...]:
    """`TRACK_COLUMNS` of one track."""
    return (
        track.run_id,
        record.run.stream,
        track.track_id,
        track.class_id,
        track.class_name,
        track.first_frame,
        track.last_frame,
        track.first_time,
        track.last_time,
        round(track.last_time - track.first_time, 6),
        track.observations,
        round(track.mean_confidence, 6),
        round(track.path_length, 3),
        *track.entry,
        *track.exit,
    )


def _is_one_of(row: tuple[Any, ...], wanted: tuple[int | str, ...]) -> bool:
    class_id, class_name = row[3], row[4]
    folded = {text.casefold() if isinstance(text, str) else text for text in wanted}
    return not wanted or class_id in folded or class_name.casefold() in folded


def _cells(batch: pa.RecordBatch) -> Iterator[tuple[str, ...]]:
    for row in batch.to_pylist():
        yield (
            str(row["track_id"]),
            row["class_name"],
            clock(row["first_time"], places=1),
            clock(row["last_time"], places=1),
            str(row["observations"]),
            f"{row['mean_confidence']:.2f}",
            f"{row['path_length']:.0f}",
            f"{row['entry_x']:.0f},{row['entry_y']:.0f}",
            f"{row['exit_x']:.0f},{row['exit_y']:.0f}",
        )
