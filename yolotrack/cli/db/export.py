"""`yolotrack db export`: whole runs for other programs, or the statement that finds their rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from yolotrack.cli import common, options
from yolotrack.cli.db import filters
from yolotrack.cli.db.output import Counted, Output, named_style, showing_progress
from yolotrack.cli.db.query import nothing_found
from yolotrack.cli.signals import leaving
from yolotrack.errors import OutputError, UsageError

if TYPE_CHECKING:
    from yolotrack.formats.coco import Image
    from yolotrack.model import RunRecord
    from yolotrack.store.base import Selection, Store

ExportFormat: TypeAlias = Literal["mot", "coco", "csv", "jsonl", "parquet"]

_SUFFIXES = {".csv": "csv", ".json": "coco", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_ID_LENGTH = 18
"""Of a run's id in the name of a folder: its start to the millisecond, and 12 bits of chance."""


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="File, or for mot the folder of folders.")
    ] = None,
    format_: Annotated[ExportFormat | None, typer.Option("--format", help="Default: as the file is named.")] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the statement that finds the rows.")] = False,
    run: filters.Runs = None,
    stream: filters.Stream = None,
    track_id: filters.TrackIds = None,
    class_: filters.Classes = None,
    frames: filters.Frames = None,
    time: filters.Time = None,
    since: filters.Since = None,
    until: filters.Until = None,
    min_conf: filters.MinConf = None,
    box: filters.Box = None,
    order: filters.Order = None,
    limit: filters.Limit = None,
    overwrite: options.Overwrite = False,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Write observations for other programs; filters as in `db query`, `--run all` for every run.

    mot: a folder a run, `STREAM-RUN/`, with `data/STREAM.txt` (results), `gt/gt.txt` (the same as truth) and
    `seqinfo.ini`. coco: one JSON file of videos, images, annotations with `track_id`, and categories.
    """
    asked = filters.Filters(track_id, class_, frames, time, since, until, min_conf, box, order, limit)
    selection = asked.selection()
    if sql == (output is not None):
        raise UsageError("either name what to write with -o, or print the statement with --sql")
    style = "" if output is None else format_ or named_style(output, _SUFFIXES)
    if style in ("mot", "coco") and (order or limit):
        raise UsageError(f"{style} has an order of its own: leave --order and --limit out")

    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    with leaving(), closing(open_store(settings.database, read_only=True)) as store:
        records = filters.chosen_runs(store, run, stream)
        selection = replace(selection, run_ids=tuple(record.run.run_id for record in records))
        if output is None:
            print(store.sql(selection))
        elif not _write(style, store, records, selection, output, overwrite):
            print(nothing_found(records, asked), file=sys.stderr)


def _write(
    style: str, store: Store, records: Sequence[RunRecord], selection: Selection, output: Path, overwrite: bool
) -> int:
    """Returns how many observations there were."""
    if style == "mot":
        return _write_mot(store, records, selection, output, overwrite)
    if style == "coco":
        return _write_coco(store, records, selection, output, overwrite)
    return Output(style, output, overwrite).write(store.select(selection))


def _write_mot(store: Store, records: Sequence[RunRecord], selection: Selection, output: Path, overwrite: bool) -> int:
    from yolotrack.draft import translated, writing_folder
    from yolotrack.formats.mot import Sequence, write_sequence

    found = filters.run_by_run(store, selection)
    with translated(output):
        output.mkdir(parents=True, exist_ok=True)
    rows = 0
    folders = [output / f"{record.run.stream}-{record.run.run_id[:_ID_LENGTH]}" for record in records]
    _refuse_existing(folders, overwrite)
    for record, folder, batches in zip(records, folders, found, strict=True):
        run = record.run
        sequence = Sequence(folder.name, run.stream, record.ledger.published, run.width, run.height, run.rate)
        counted = Counted(batches)
        with writing_folder(folder, overwrite=overwrite) as draft, showing_progress(counted):
            write_sequence(draft, sequence, counted)
        print(folder)
        rows += counted.rows
    return rows


def _refuse_existing(folders: Sequence[Path], overwrite: bool) -> None:
    """Before any is written."""
    existing = next((folder for folder in folders if folder.exists()), None)
    if existing is not None and not overwrite:
        raise OutputError(f"cannot write {existing}: it exists; choose another folder, or set --overwrite")


def _write_coco(store: Store, records: Sequence[RunRecord], selection: Selection, output: Path, overwrite: bool) -> int:
    from yolotrack.draft import writing_file
    from yolotrack.formats.coco import Video, write_coco

    videos = [Video(r.run.run_id, r.run.stream, r.run.width, r.run.height) for r in records]
    counted = Counted(store.select(selection))
    with writing_file(output, overwrite=overwrite) as file, showing_progress(counted):
        write_coco(file, videos, counted, _images(store, selection))
    print(output)
    return counted.rows


def _images(store: Store, selection: Selection) -> Iterator[Image]:
    """The tracked frames that the selection's frames and times take in, with tracks or without."""
    from yolotrack.formats.coco import Image
    from yolotrack.model import Outcome

    first, end = selection.frames
    for run_id in selection.run_ids:
        for frame in store.outcomes(run_id, (first or 0, 2**31 - 1 if end is None else end)):
            if (
                frame.outcome is Outcome.TRACKED
                and _is_within(frame.media_time, selection.media_time)
                and _is_within(frame.captured_at, selection.captured_at)
            ):
                yield Image(run_id, frame.index, frame.media_time)


def _is_within(value: Any, ends: tuple[Any, Any]) -> bool:
    first, end = ends
    return (first is None or value >= first) and (end is None or value < end)
