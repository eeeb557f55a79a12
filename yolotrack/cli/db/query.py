"""`yolotrack db query`: observations, in the form that whoever reads them wants."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from yolotrack.cli import common, options
from yolotrack.cli.db import filters
from yolotrack.cli.db.output import FORMAT_HELP, Output, OutputOption, Shown
from yolotrack.cli.listing import Column, clock
from yolotrack.cli.signals import leaving
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from yolotrack.model import RunRecord

QueryFormat: TypeAlias = Literal["table", "csv", "json", "jsonl", "mot", "parquet"]

_COLUMNS = (
    Column("frame", 6, right=True),
    Column("time", 11, right=True),
    Column("track", 5, right=True),
    Column("conf", 4, right=True),
    Column("x_min", 6, right=True),
    Column("y_min", 6, right=True),
    Column("x_max", 6, right=True),
    Column("y_max", 6, right=True),
    Column("class"),
)


def query(
    track_id: filters.TrackIds = None,
    run: filters.Runs = None,
    stream: filters.Stream = None,
    class_: filters.Classes = None,
    frames: filters.Frames = None,
    time: filters.Time = None,
    since: filters.Since = None,
    until: filters.Until = None,
    min_conf: filters.MinConf = None,
    box: filters.Box = None,
    order: filters.Order = None,
    limit: filters.Limit = None,
    format_: Annotated[QueryFormat | None, typer.Option("--format", help=FORMAT_HELP)] = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Print observations: one track in one frame a row, by frame, then track.

    All filters given must hold. Without --run: the newest run, of each stream where there are several.
    """
    asked = filters.Filters(track_id, class_, frames, time, since, until, min_conf, box, order, limit)
    selection = asked.selection()
    target = Output.asked(format_, output, overwrite)

    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    with leaving(), closing(open_store(settings.database, read_only=True)) as store:
        records = filters.chosen_runs(store, run, stream)
        if target.style == "mot" and len(records) > 1:
            raise UsageError("MOT text holds one run: name it with --run, or use `yolotrack db export`")
        batches = store.select(replace(selection, run_ids=tuple(record.run.run_id for record in records)))
        if not target.print(batches, Shown.of(records, _COLUMNS, _cells)):
            print(nothing_found(records, asked), file=sys.stderr)


def nothing_found(records: Sequence[RunRecord], asked: filters.Filters) -> str:
    """One line about filters that nothing passed."""
    what = "no observations" if asked.only_tracks else "no observations that match"
    if asked.only_tracks and asked.track_ids:
        plural = "tracks" if len(asked.track_ids) > 1 or set(":,") & set(asked.track_ids[0]) else "track"
        what += f" of {plural} {', '.join(asked.track_ids)}"
    if len(records) > 1:
        return f"{what} in {len(records)} runs"
    (record,) = records
    return f"{what} in run {record.run.run_id} ({record.run.stream}, {record.tracks} tracks)"


def _cells(batch: pa.RecordBatch) -> Iterator[tuple[str, ...]]:
    names = ("frame", "media_time", "tracker_id", "confidence", "x_min", "y_min", "x_max", "y_max", "class_name")
    for frame, time, track, confidence, *box, kind in zip(*(batch[name].to_pylist() for name in names), strict=True):
        yield str(frame), clock(time), str(track), f"{confidence:.2f}", *(f"{side:.1f}" for side in box), kind
